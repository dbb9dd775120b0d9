import { join } from "node:path";
import type { Counts, MailState } from "../sync/answer.ts";
import { type NodeRole, nodeRoles } from "../sync/records.ts";
import { explain } from "./faults.ts";
import type { FileStat, FileSystem } from "./file-system.ts";
import type { Host, Identity } from "./host.ts";
import type { Hours } from "./losses.ts";
import { RENDERING } from "./render.ts";
import { PRIVATE, replaceFile, usersOwnership } from "./staging.ts";

/** Postfix's maps, in the order in which they are replaced: a domain is known only once its mailboxes are. */
export const maps = ["mailboxes", "senders", "domains"] as const;

export type MapName = (typeof maps)[number];

/** What daemons read. A map is its text and its .lmdb together. */
export type Product = "users" | MapName;

/**
 * What a node of that role writes. An mx has neither Dovecot's users nor their senders; those of a node that
 * becomes one stay for a while where they are, as they are: a role set by mistake takes no mailbox out of service.
 */
export const productsOf: Readonly<Record<NodeRole, { users: boolean; maps: readonly MapName[] }>> = {
  mail: { users: true, maps },
  mx: { users: false, maps: ["mailboxes", "domains"] },
};

/**
 * The files of DIR. `snapshot` is what was applied last (see kept-file.ts); `pending`, while it exists, is that to
 * which an update is under way: whoever finds it goes on to it.
 */
export const names = {
  state: "state.json",
  snapshot: "snapshot.ndjson",
  pending: "pending.ndjson",
  /** Says that an operator accepts the removals that are withheld. */
  accepted: "accepted.json",
  lock: ".lock",
  /** Which changes are to be looked up before the server is told that they are in service. */
  unproved: "unproved.json",
  /** What came of the last poll, for `status`. */
  lastPoll: "last-poll.json",
  /** postmap wants a configuration folder. */
  postfix: "postfix",
} as const;

/** Under this name a file is made before it takes its place. Left-overs of a killed run are removed. */
export function stagedName(name: string): string {
  return `.${name}.new`;
}

export const FINAL_USERS = stagedName("users.final");

const stagedNames: ReadonlySet<string> = new Set([
  ...[
    names.state,
    names.accepted,
    names.snapshot,
    names.pending,
    names.unproved,
    names.lastPoll,
    "users",
    ...maps,
  ].map(stagedName),
  ...maps.map((map) => `${stagedName(map)}.lmdb`),
  FINAL_USERS,
]);

/** state.json: what was applied last, and what each file was like then. */
export interface NodeState {
  format: 1;
  /** What is in service: digest and counts are with those who are withheld. */
  applied: {
    role: NodeRole;
    history: string;
    revision: number;
    digest: string;
    counts: Counts;
    at: string;
  };
  /** The server's own state of that revision, for the next question. */
  server: { digest: string; cursor: string };
  /** Users in service whom the server no longer has; see losses.ts. */
  withheld: {
    users: number;
    /** The revisions from and up to which they have been missing. */
    first: number;
    last: number;
    /** RFC 3339. */
    since: string;
  } | null;
  hours: Hours;
  /**
   * Of an mx that still has the files of when it had mailboxes: the counted hours in which Dovecot last used them, as
   * far as is known, and was last asked. See former-role.ts.
   */
  former?: { used: number; asked: number } | undefined;
  /** How often in a row the server answered with a history that this node has left; see asking.ts. */
  returned?: { history: string; times: number } | undefined;
  /** What besides the state decides the bytes of the files. */
  rendering: { version: number; mail_root: string };
  files: Record<string, FileStat>;
  /** When the server last took the report that this state is in service; null where it was told otherwise since. */
  reported_at: string | null;
}

/** What a run finds in DIR. */
export interface Situation {
  recorded: NodeState | undefined;
  /** What is not as it was written, or would be written otherwise now. */
  damaged: ReadonlySet<Product>;
  /** Whose .lmdb is not as it was written, and so cannot be changed in place. */
  unusable: ReadonlySet<MapName>;
  /** True when the files could be made anew without the server. */
  rebuildable: boolean;
  snapshot: boolean;
  /** True when an update did not come to its end. */
  pending: boolean;
  /** True when an operator has accepted removals here. */
  accepted: boolean;
  /** Of `users`, in whole seconds: as recorded or as found, whichever is later. */
  usersModified: number;
  leftovers: string[];
}

export interface Surroundings {
  files: FileSystem;
  identity: Identity;
  mailRoot: string;
}

/** @param role whose products to look at; without one, that of the recorded state */
export async function inspect(
  out: string,
  { files, identity, mailRoot }: Surroundings,
  role?: NodeRole,
): Promise<Situation> {
  const listed = new Set(await files.list(out));
  const recorded = parseNodeState(await files.read(join(out, names.state)));
  const intact = async (name: string): Promise<boolean> =>
    recorded !== undefined && sameFile(recorded.files[name], await files.stat(join(out, name)));

  const damaged = new Set<Product>();
  const usersFound = await files.stat(join(out, "users"));
  const owner = await usersOwnership(identity);
  const usersRecorded = recorded?.files.users;
  const products = productsOf[role ?? recorded?.applied.role ?? "mail"];
  const usersDamaged =
    !sameFile(usersRecorded, usersFound) ||
    recorded?.rendering.version !== RENDERING ||
    recorded.rendering.mail_root !== mailRoot ||
    // Dovecot was installed, or removed, since.
    (owner.owner !== undefined && usersRecorded?.gid !== owner.owner.gid);
  if (products.users && usersDamaged) {
    damaged.add("users");
  }
  const unusable = new Set<MapName>();
  for (const map of products.maps) {
    if (!(await intact(`${map}.lmdb`))) unusable.add(map);
    if (unusable.has(map) || !(await intact(map)) || recorded?.rendering.version !== RENDERING)
      damaged.add(map);
  }
  return {
    recorded,
    damaged,
    unusable,
    rebuildable: await intact(names.snapshot),
    snapshot: listed.has(names.snapshot),
    pending: listed.has(names.pending),
    accepted: listed.has(names.accepted),
    usersModified: Math.max(modifiedOf(usersRecorded), modifiedOf(usersFound)),
    leftovers: [...listed].filter((name) => stagedNames.has(name)),
  };
}

/** The files of the role's products, as they are now. */
export async function recordFiles(
  files: FileSystem,
  out: string,
  role: NodeRole,
): Promise<Record<string, FileStat>> {
  const record: Record<string, FileStat> = {};
  const products = productsOf[role];
  const written = products.maps.flatMap((map) => [map, `${map}.lmdb`]);
  for (const name of products.users ? ["users", ...written] : written) {
    const found = await files.stat(join(out, name));
    if (found !== undefined) record[name] = found;
  }
  return record;
}

export function sameFile(recorded: FileStat | undefined, found: FileStat | undefined): boolean {
  return (
    recorded !== undefined &&
    found?.regular === true &&
    found.size === recorded.size &&
    found.mtime_ns === recorded.mtime_ns &&
    found.mode === recorded.mode &&
    found.uid === recorded.uid &&
    found.gid === recorded.gid
  );
}

function modifiedOf(stat: FileStat | undefined): number {
  const seconds = Math.floor(Number(stat?.mtime_ns) / 1e9);
  return Number.isFinite(seconds) ? seconds : 0;
}

export function isState(recorded: NodeState["applied"], state: MailState): boolean {
  return (
    recorded.role === state.role &&
    recorded.history === state.history &&
    recorded.revision === state.revision &&
    recorded.digest === state.digest
  );
}

export function countsOf(state: MailState): Counts {
  return { domains: state.domains.size, users: state.users.size };
}

/** Reads state.json; one that is damaged counts as none, and everything is then made anew. */
export function parseNodeState(text: string | undefined): NodeState | undefined {
  if (text === undefined) return undefined;
  try {
    const state = JSON.parse(text) as Partial<NodeState> | null;
    const { applied, server, withheld, hours, rendering, files, reported_at } = state ?? {};
    const valid =
      state?.format === 1 &&
      isIdentity(applied) &&
      typeof server?.digest === "string" &&
      typeof server.cursor === "string" &&
      (withheld === null || Number.isSafeInteger(withheld?.first)) &&
      Number.isSafeInteger(hours?.count) &&
      Number.isSafeInteger(applied.counts.domains) &&
      Number.isSafeInteger(applied.counts.users) &&
      typeof rendering?.mail_root === "string" &&
      typeof files === "object" &&
      files !== null &&
      (reported_at === null || typeof reported_at === "string");
    return valid ? (state as NodeState) : undefined;
  } catch {
    return undefined;
  }
}

function isIdentity(value: Partial<NodeState["applied"]> | undefined): value is NodeState["applied"] {
  return (
    nodeRoles.some((role) => role === value?.role) &&
    typeof value?.history === "string" &&
    Number.isSafeInteger(value.revision) &&
    typeof value.digest === "string" &&
    typeof value.at === "string"
  );
}

export async function writeNodeState(files: FileSystem, out: string, state: NodeState): Promise<void> {
  const text = `${JSON.stringify(state, undefined, 2)}\n`;
  await replaceFile(files, join(out, stagedName(names.state)), join(out, names.state), [text], PRIVATE);
}

/** The same, where this run can do without: the next one then knows less. */
export async function noteNodeState({ files, log }: Host, out: string, state: NodeState): Promise<void> {
  try {
    await writeNodeState(files, out, state);
  } catch (error) {
    log(`warning: state.json could not be written: ${explain(error)}`);
  }
}
