import { type Counts, encodeEnd, type Header, type MailState, PROTOCOL } from "./answer.ts";
import { StateDigest } from "./digest.ts";
import {
  type DomainRecord,
  type MailRecord,
  nodeRoles,
  parseRecord,
  parseRemoval,
  type Removal,
} from "./records.ts";

/** A refused answer. `line` is the number of the offending line, from 1. */
export class RefusedAnswer extends Error {
  override readonly name = "RefusedAnswer";
  readonly reason: RefusalReason;
  readonly line: number;

  constructor(reason: RefusalReason, line: number) {
    super(`${refusalReasons[reason]} (line ${line})`);
    this.reason = reason;
    this.line = line;
  }
}

/** Each reason with its message. A report carries the name only, because models read list_nodes. */
export const refusalReasons = {
  not_maps: "the answer does not begin as maps do",
  wrong_protocol: "the answer is of a protocol that this program does not speak",
  damaged_record: "a record is not well formed",
  duplicate_record: "a record stands there twice",
  foreign_user: "a user's domain is not among the domains",
  cut_short: "the answer ends before its end line",
  wrong_counts: "the records are not as many as the header and the end line say",
  wrong_digest: "the records do not add up to the digest",
  older_revision: "the answer is older than what this node has",
  returned_history: "the answer is of a history that this node has left for a later one",
  another_node: "the answer was given to another node",
  too_large: "the answer is larger than this program accepts",
} as const;

export type RefusalReason = keyof typeof refusalReasons;

type State = Omit<MailState, "domains" | "users"> & {
  domains: Map<string, DomainRecord>;
  users: Map<string, MailRecord & { user: string }>;
};

/**
 * Reads an answer line by line. It returns the state only after it has verified all of it: protocol, every value,
 * no duplicates, counts, end line, digest. Every method throws RefusedAnswer.
 */
export class AnswerReader {
  readonly #base: MailState | undefined;
  readonly #seen = new Set<string>();
  #header: Header | undefined;
  #state: State | undefined;
  #digest = new StateDigest();
  #ended = false;
  #lines = 0;

  /** @param base the state whose cursor was sent; without it a delta is refused */
  constructor(base?: MailState) {
    this.#base = base;
  }

  push(line: string): void {
    this.#lines += 1;
    if (this.#header === undefined || this.#state === undefined) {
      this.#header = this.#parseHeader(line);
      this.#state = this.#begin(this.#header);
    } else if (this.#ended) this.#refuse("wrong_counts");
    else if (line.startsWith('{"end":')) this.#end(line);
    else this.#take(line, this.#header, this.#state);
  }

  /** @returns the state after the answer */
  finish(): MailState {
    const header = this.#header;
    const state = this.#state;
    if (header === undefined || state === undefined) return this.#refuse("not_maps");
    if (!this.#ended) return this.#refuse("cut_short");
    const { counts, digest } = header;
    if (counts.domains !== state.domains.size || counts.users !== state.users.size)
      this.#refuse("wrong_counts");
    if (digest !== this.#digest.toString()) this.#refuse("wrong_digest");
    return state;
  }

  #begin({ kind, role, history, revision, digest, cursor }: Header): State {
    const heading = { role, history, revision, digest, cursor };
    if (kind === "snapshot") return { ...heading, domains: new Map(), users: new Map() };
    const base = this.#base;
    if (base === undefined || base.history !== history || base.role !== role)
      return this.#refuse("wrong_protocol");
    if (base.revision > revision) return this.#refuse("older_revision");
    this.#digest = StateDigest.fromHex(base.digest);
    return { ...heading, domains: new Map(base.domains), users: new Map(base.users) };
  }

  #take(line: string, header: Header, state: State): void {
    const removal = header.kind === "delta" ? parseRemoval(line) : undefined;
    const record = removal === undefined ? parseRecord(line, header.role) : undefined;
    const key = keyOf(removal ?? record ?? this.#refuse("damaged_record"));
    if (this.#seen.has(key)) this.#refuse("duplicate_record");
    this.#seen.add(key);
    if (removal !== undefined) this.#remove(removal, state);
    if (record !== undefined) this.#set(record, state);
  }

  #set(record: MailRecord, { domains, users }: State): void {
    if ("domain" in record) {
      this.#replace(domains.get(record.domain), record);
      domains.set(record.domain, record);
    } else {
      if (!domains.has(domainOf(record.user))) this.#refuse("foreign_user");
      this.#replace(users.get(record.user), record);
      users.set(record.user, record);
    }
  }

  /** A removal may name an unknown record: one that came and went between two polls. */
  #remove(removal: Removal, { domains, users }: State): void {
    if ("domain" in removal) {
      this.#replace(domains.get(removal.domain), undefined);
      domains.delete(removal.domain);
    } else {
      this.#replace(users.get(removal.user), undefined);
      users.delete(removal.user);
    }
  }

  #replace(before: MailRecord | undefined, after: MailRecord | undefined): void {
    if (before !== undefined) this.#digest.remove(before);
    if (after !== undefined) this.#digest.add(after);
  }

  #end(line: string): void {
    if (line !== encodeEnd(this.#seen.size)) this.#refuse("wrong_counts");
    this.#ended = true;
  }

  #parseHeader(line: string): Header {
    let header: Partial<Header> | null;
    try {
      header = JSON.parse(line);
    } catch {
      return this.#refuse("not_maps");
    }
    if (typeof header !== "object" || header === null || typeof header.protocol !== "string") {
      return this.#refuse("not_maps");
    }
    const { protocol, kind, role, history, revision, digest, counts, cursor } = header;
    if (protocol !== PROTOCOL || (kind !== "snapshot" && kind !== "delta"))
      return this.#refuse("wrong_protocol");
    const valid =
      nodeRoles.some((known) => known === role) &&
      typeof history === "string" &&
      /^[0-9a-f]{32}$/.test(history) &&
      isCount(revision) &&
      typeof digest === "string" &&
      /^[0-9a-f]{64}$/.test(digest) &&
      isCounts(counts) &&
      typeof cursor === "string" &&
      /^[A-Za-z0-9._-]{1,500}$/.test(cursor);
    return valid ? (header as Header) : this.#refuse("not_maps");
  }

  #refuse(reason: RefusalReason): never {
    throw new RefusedAnswer(reason, this.#lines);
  }
}

function keyOf(line: MailRecord | Removal): string {
  return "domain" in line ? line.domain : line.user;
}

function domainOf(user: string): string {
  return user.slice(user.indexOf("@") + 1);
}

function isCounts(value: Counts | undefined): boolean {
  return isCount(value?.domains) && isCount(value?.users);
}

function isCount(value: unknown): boolean {
  return Number.isSafeInteger(value) && Number(value) >= 0;
}
