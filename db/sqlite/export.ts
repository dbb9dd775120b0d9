import { closeSync, fsyncSync, openSync, rmSync, writeFileSync } from "node:fs";
import { MailError } from "../../src/mail/error.ts";
import type { Alias, Target } from "../aliases/rows.ts";
import type { Store, Tables } from "../store.ts";
import type { User, UserPosition } from "../users/rows.ts";
import { unavailable } from "./errors.ts";

const PAGE = 1000;

export interface ExportResult {
  domains: number;
  /** Number of mailboxes, soft-deleted ones included. */
  mailboxes: number;
  aliases: number;
}

interface ExportOptions {
  withHashes: boolean;
  at: string;
  /** Called after each page of mailboxes. */
  progress?: (mailboxes: number) => void;
}

/**
 * Writes all domains, mailboxes and aliases to a new file, 0600, as the CSV that `m25-mail import --from csv` reads. It is one state
 * of the database, and the audit log says so.
 *
 * @throws MailError invalid_input when the file is there already; unavailable
 */
export async function exportState(
  store: Store,
  file: string,
  { withHashes, at, progress = () => {} }: ExportOptions,
): Promise<ExportResult> {
  const descriptor = openNew(file);
  try {
    const exported = await store.read((tables) =>
      writeRows(tables, writerOf(descriptor, file), { withHashes, progress }),
    );
    fsyncSync(descriptor);
    await store.write((tables) =>
      tables.audit.append({
        at,
        principal: "operator",
        door: "cli",
        tool: "export",
        arguments: { file, with_hashes: withHashes },
      }),
    );
    return exported;
  } catch (error) {
    rmSync(file, { force: true });
    throw unavailable(error, file) ?? error;
  } finally {
    closeSync(descriptor);
  }
}

function openNew(file: string): number {
  try {
    return openSync(file, "wx", 0o600);
  } catch (error) {
    const isThere = error instanceof Error && "code" in error && error.code === "EEXIST";
    throw isThere
      ? new MailError(
          "invalid_input",
          `${file} is there already.`,
          "It was left as it is. Name another file.",
        )
      : notWritable(file);
  }
}

function notWritable(file: string): MailError {
  return new MailError(
    "unavailable",
    `${file} cannot be written.`,
    "Name a file in a folder where you may write, on a disk with room.",
  );
}

type Writer = (lines: readonly string[]) => void;

/** Writes whole lines: a call of the system may write a part when a disk becomes full. */
function writerOf(descriptor: number, file: string): Writer {
  return (lines) => {
    try {
      writeFileSync(descriptor, lines.map((line) => `${line}\n`).join(""));
    } catch {
      throw notWritable(file);
    }
  };
}

async function writeRows(
  tables: Tables,
  write: Writer,
  { withHashes, progress }: Required<Omit<ExportOptions, "at">>,
): Promise<ExportResult> {
  const hash = withHashes ? "," : "";
  write([`email,${withHashes ? "hash," : ""}quota_mb,active,targets,waiting_targets,send_as`]);
  const exported = { domains: 0, mailboxes: 0, aliases: 0 };
  for (let page = await tables.domains.page(PAGE); page.length > 0; ) {
    write(page.map(({ name }) => `@${name},${hash},,,,`));
    exported.domains += page.length;
    page = await tables.domains.page(PAGE, page.at(-1)?.name);
  }
  let last: UserPosition | undefined;
  for (;;) {
    const page: User[] = await tables.users.page(PAGE, undefined, last);
    if (page.length === 0) break;
    write(
      // Only hashes have commas; no value has a quotation mark.
      page.map(
        ({ email, passwordHash, quotaMb, active }) =>
          `${email},${withHashes ? `"${passwordHash}",` : ""}${quotaMb},${active},,,`,
      ),
    );
    exported.mailboxes += page.length;
    progress(exported.mailboxes);
    last = page.at(-1);
  }
  for (const { name, of } of await tables.domainAliases.page(Number.MAX_SAFE_INTEGER, undefined))
    write([`@${name},${hash},,@${of},,`]);
  for (let page = await tables.aliases.page(PAGE, {}, undefined); page.length > 0; ) {
    const own = await tables.aliases.ownDomains(page.flatMap(({ targets }) => targets));
    write(page.map((alias) => aliasRow(alias, own, hash)));
    exported.aliases += page.length;
    page = await tables.aliases.page(PAGE, {}, page.at(-1));
  }
  return exported;
}

/** A target of ours in a domain that is gone becomes one that waits: nobody approved mail to that domain elsewhere. */
function aliasRow({ address, sendAs, targets }: Alias, own: ReadonlySet<string>, hash: string): string {
  const isGone = ({ standing, domain }: Target) => standing === "own" && !own.has(domain);
  const [waiting, others] = [true, false].map((wanted) =>
    targets
      .filter((target) => (target.standing === "waiting" || isGone(target)) === wanted)
      .map(({ email }) => email)
      .join(" "),
  );
  return `${address},${hash},,${others},${waiting},${sendAs}`;
}
