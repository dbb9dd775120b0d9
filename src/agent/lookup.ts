import { join } from "node:path";
import type { NodeRole } from "../sync/records.ts";
import type { FailureReason } from "../sync/report.ts";
import { homeOf, untilDovecotLooks } from "./dovecot.ts";
import { onOneLine } from "./faults.ts";
import type { FileSystem } from "./file-system.ts";
import { names, stagedName } from "./folder.ts";
import type { Host } from "./host.ts";
import { compareMainCf, type PostfixCommands } from "./main-cf.ts";
import { configurationFolder, runQuietly } from "./postmap.ts";
import { PRIVATE, removeQuietly, replaceFile } from "./staging.ts";

/** Of each kind. */
const SAMPLE = 5;

/** What came and what went: of a whole update, or the part of it that is looked up. */
export interface Changes {
  domains: { added: readonly string[]; removed: readonly string[] };
  users: { added: readonly string[]; removed: readonly string[] };
}

/** With what to look. */
export interface Eyes {
  role: NodeRole;
  postmap: string;
  /** Undefined where main.cf is not compared. */
  postfix: PostfixCommands | undefined;
  /** With its leading arguments; undefined where Dovecot is not asked. */
  doveadm: readonly string[] | undefined;
  mailRoot: string;
}

export interface Findings {
  /** What contradicts what was applied, and in how many cases; undefined when nothing does. */
  contradiction: { reason: FailureReason; count: number } | undefined;
  /** Why Dovecot did not say whom it knows; null when it did, or was not to be asked. */
  silence: string | null;
}

/**
 * Notes a sample of `changes` for {@link lookUpChanges}, beside what an earlier look-up did not find to be so.
 * A file, so that a run that is killed here, or a look-up that fails, is made good by the next run.
 */
export async function noteChanges(files: FileSystem, out: string, changes: Changes): Promise<void> {
  const { domains, users } = changes;
  const kinds = [domains.added, domains.removed, users.added, users.removed];
  if (kinds.every((keys) => keys.length === 0)) return;
  const earlier = parseChanges(await files.read(join(out, names.unproved)));
  const noted = { domains: merge(earlier?.domains, domains), users: merge(earlier?.users, users) };
  const staged = join(out, stagedName(names.unproved));
  await replaceFile(files, staged, join(out, names.unproved), [`${JSON.stringify(noted)}\n`], PRIVATE);
}

/**
 * Looks up what {@link noteChanges} noted, as Postfix and Dovecot do: what came must be known, what went must
 * not. A Dovecot that does not answer is a warning, for nobody can log in to it either; it is asked again at the
 * next poll. Nothing is left to look up once all is as it should be.
 */
export async function lookUpChanges(host: Host, out: string, eyes: Eyes): Promise<Findings> {
  const noted = parseChanges(await host.files.read(join(out, names.unproved)));
  if (noted === undefined) return { contradiction: undefined, silence: null };
  const postfix = [
    ...(await askPostfix(host, out, eyes.postmap, "domains", noted.domains)),
    ...(await askPostfix(host, out, eyes.postmap, "mailboxes", noted.users)),
  ];
  const { complaints: dovecot, silence } = await askDovecot(host, eyes, noted.users);
  const { elsewhere, unused } =
    eyes.postfix === undefined
      ? { elsewhere: [], unused: [] }
      : await compareMainCf(
          host,
          { out, postfix: eyes.postfix, role: eyes.role },
          {
            domains: noted.domains.added,
            users: noted.users.added,
          },
        );
  const complaints: [FailureReason, string[]][] = [
    ["domain_elsewhere", elsewhere],
    ["maps_not_used", unused],
    ["lookup_failed", [...postfix, ...dovecot]],
  ];
  for (const complaint of complaints.flatMap(([, lines]) => lines)) host.log(`not as applied: ${complaint}`);
  const worst = complaints.find(([, lines]) => lines.length > 0);
  if (silence !== null) host.log(`warning: ${silence}`);
  else if (worst === undefined) await removeQuietly(host.files, [join(out, names.unproved)]);
  const contradiction = worst && { reason: worst[0], count: worst[1].length };
  return { contradiction, silence };
}

/** @returns a line for each key that Postfix sees otherwise */
async function askPostfix(
  host: Host,
  out: string,
  postmap: string,
  map: string,
  { added, removed }: Changes["users"],
): Promise<string[]> {
  if (added.length + removed.length === 0) return [];
  const folder = await configurationFolder(host, out);
  const ask = async (key: string, wanted: boolean): Promise<string | undefined> => {
    const args = ["-c", folder, "-q", key, `lmdb:${join(out, map)}`];
    const { code, stderr } = await runQuietly(host, postmap, args);
    // A key that is not there is 1 without a word.
    if (stderr !== "" || (code !== 0 && code !== 1)) {
      return `Postfix cannot look ${key} up in ${map}: ${onOneLine(stderr) || `postmap ended with ${code ?? "a signal"}`}`;
    }
    if ((code === 0) === wanted) return undefined;
    return wanted ? `Postfix does not find ${key} in ${map}` : `Postfix still finds ${key} in ${map}`;
  };
  const asked = await Promise.all([
    ...added.map((key) => ask(key, true)),
    ...removed.map((key) => ask(key, false)),
  ]);
  return asked.filter((complaint) => complaint !== undefined);
}

/** @returns a line for each user whom Dovecot sees otherwise, and why it did not say of others */
async function askDovecot(
  host: Host,
  eyes: Eyes,
  { added, removed }: Changes["users"],
): Promise<{ complaints: string[]; silence: string | null }> {
  const { doveadm, mailRoot } = eyes;
  if (doveadm === undefined || added.length + removed.length === 0) return { complaints: [], silence: null };
  const ask = async (user: string, wanted: boolean): Promise<{ complaint?: string; silence?: string }> => {
    const { home, silence } = await homeOf(host, doveadm, user);
    if (home === undefined) return { silence };
    if (wanted) return home === null ? { complaint: `Dovecot does not know ${user}` } : {};
    // Where it knows the user from elsewhere, the home is none of ours.
    return home !== null && isOurHome(home, mailRoot, user)
      ? { complaint: `Dovecot still knows ${user}` }
      : {};
  };
  const askAll = async (): Promise<{ complaints: string[]; silence: string | null }> => {
    const asked = await Promise.all([
      ...added.map((user) => ask(user, true)),
      ...removed.map((user) => ask(user, false)),
    ]);
    const complaints = asked.flatMap(({ complaint }) => complaint ?? []);
    // The first in their order, not in time: what stays the same is logged once.
    return { complaints, silence: asked.find(({ silence }) => silence !== undefined)?.silence ?? null };
  };
  const first = await askAll();
  if (first.complaints.length === 0) return first;
  // It looks at its file once a second at most.
  await untilDovecotLooks(host, host.clock.now());
  return await askAll();
}

function isOurHome(home: string, mailRoot: string, user: string): boolean {
  const at = user.indexOf("@");
  return home.startsWith(`${mailRoot}/${user.slice(at + 1)}/${user.slice(0, at)}.`);
}

/** Earlier keys first, unless the update itself has made them something else. */
function merge(earlier: Changes["users"] | undefined, now: Changes["users"]): Changes["users"] {
  const join = (old: readonly string[], fresh: readonly string[], other: readonly string[]): string[] => {
    const kept = old.filter((key) => !other.includes(key)).slice(0, SAMPLE);
    return [...new Set([...kept, ...sampleOf(fresh)])];
  };
  return {
    added: join(earlier?.added ?? [], now.added, now.removed),
    removed: join(earlier?.removed ?? [], now.removed, now.added),
  };
}

/** The first, the last, and some from between. */
function sampleOf(keys: readonly string[]): string[] {
  if (keys.length <= SAMPLE) return [...keys];
  const step = (keys.length - 1) / (SAMPLE - 1);
  return Array.from({ length: SAMPLE }, (_, index) => keys[Math.round(index * step)] ?? "");
}

/** A file that is damaged counts as none: it is about a proof, not about what is served. */
function parseChanges(text: string | undefined): Changes | undefined {
  if (text === undefined) return undefined;
  try {
    const { domains, users } = JSON.parse(text) as Partial<Changes>;
    return isChange(domains) && isChange(users) ? { domains, users } : undefined;
  } catch {
    return undefined;
  }
}

function isChange(value: Partial<Changes["users"]> | undefined): value is Changes["users"] {
  return [value?.added, value?.removed].every(
    (keys) => Array.isArray(keys) && keys.every((key) => typeof key === "string"),
  );
}
