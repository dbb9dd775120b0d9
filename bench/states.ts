/** Whole states of any size, and a node's replica that takes them. */
import { thisMachine } from "../src/machine/machine.ts";
import { applyIncoming } from "../src/node/replica/apply.ts";
import { takeAnswer } from "../src/node/replica/incoming.ts";
import { DEFAULT_THRESHOLDS } from "../src/node/replica/losses.ts";
import { noteInodes, openReplica, type Replica } from "../src/node/replica/replica.ts";
import { encodeEnd, encodeHeader, type Header } from "../src/sync/answer.ts";
import { StateDigest } from "../src/sync/digest.ts";
import { type AliasRecord, canonicalLine, type UserRecord } from "../src/sync/records.ts";

const PER_DOMAIN = 100;

export const domainOf = (index: number) =>
  `d${String(Math.floor(index / PER_DOMAIN)).padStart(6, "0")}.example`;

/** Nobody's hash. Another letter gives another one. */
export const hashOf = (letter: string) => `{BLF-CRYPT}$2b$10$${letter.repeat(53)}`;

export function mailbox(index: number, password: string): UserRecord {
  const local = `u${String(index % PER_DOMAIN).padStart(3, "0")}`;
  return { user: `${local}@${domainOf(index)}`, password, quota_mb: 1024, mailbox: "0".repeat(16) };
}

/** An alias for one mailbox: ten in each domain. */
export function alias(index: number, target = index * 10): AliasRecord {
  const { user } = mailbox(target, "");
  return { alias: `a${index % 10}@${domainOf(index * 10)}`, targets: [user], send_as: true };
}

export interface Size {
  users: number;
  aliases?: number;
}

export function header(
  kind: Header["kind"],
  revision: number,
  digest: StateDigest,
  { users, aliases = 0 }: Size,
): string {
  const counts = { domains: Math.ceil(users / PER_DOMAIN), users, aliases, domain_aliases: 0 };
  const rest = { history: "0".repeat(32), revision, digest: digest.toString(), cursor: `c${revision}` };
  return encodeHeader({ kind, role: "mail", counts, ...rest });
}

/** Lines of a whole state, which are made as they are taken; a first pass makes the digest. */
export async function* whole(size: Size, revision: number, password: string): AsyncGenerator<string[]> {
  const { users, aliases = 0 } = size;
  const digest = new StateDigest();
  for (let index = 0; index < users; index += 1) {
    if (index % PER_DOMAIN === 0) digest.add({ domain: domainOf(index) });
    digest.add(mailbox(index, password));
  }
  for (let index = 0; index < aliases; index += 1) digest.add(alias(index));
  yield [header("snapshot", revision, digest, size)];
  const domains = Array.from({ length: Math.ceil(users / PER_DOMAIN) }, (_, index) => index * PER_DOMAIN);
  yield domains.map((index) => canonicalLine({ domain: domainOf(index) }));
  for (let from = 0; from < users; from += 1000) {
    const to = Math.min(from + 1000, users);
    yield Array.from({ length: to - from }, (_, index) => canonicalLine(mailbox(from + index, password)));
  }
  for (let from = 0; from < aliases; from += 1000) {
    const to = Math.min(from + 1000, aliases);
    yield Array.from({ length: to - from }, (_, index) => canonicalLine(alias(from + index)));
  }
  yield [encodeEnd(users + domains.length + aliases)];
}

/** The replica in a folder, as m25-mail-node keeps it. */
export class NodeReplica {
  replica: Replica;
  readonly #place: Parameters<typeof openReplica>[0];
  readonly #mailRoot: string;

  private constructor(place: Parameters<typeof openReplica>[0], replica: Replica, mailRoot: string) {
    this.#place = place;
    this.replica = replica;
    this.#mailRoot = mailRoot;
  }

  static async open(folder: string, mailRoot = "/var/vmail"): Promise<NodeReplica> {
    const place = { machine: thisMachine, folder, sqlite: "sqlite3" };
    return new NodeReplica(place, await openReplica(place), mailRoot);
  }

  /** Takes and applies an answer. Returns how long that took after its first lines, in ms. */
  async take(lines: AsyncIterable<string[]>): Promise<number> {
    const pieces = lines[Symbol.asyncIterator]();
    const first = await pieces.next();
    const began = performance.now();
    async function* all() {
      yield first.value as string[];
      yield* { [Symbol.asyncIterator]: () => pieces };
    }
    const incoming = await takeAnswer(this.replica, all());
    const now = Date.now();
    const options = { thresholds: DEFAULT_THRESHOLDS, mailRoot: this.#mailRoot, now };
    await applyIncoming(this.#place, this.replica, incoming, options);
    const took = performance.now() - began;
    if (this.replica.replaced !== "") await noteInodes(this.replica);
    return took;
  }

  /** As the program does after a whole state: its temporary tables go with the connection. */
  async reopen(): Promise<void> {
    await this.replica.db.close();
    this.replica = await openReplica(this.#place);
    await noteInodes(this.replica);
  }

  async close(): Promise<void> {
    await this.replica.db.close();
  }
}
