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

/**
 * Reads an answer line by line, and checks each line by itself: protocol, every value, the end line. The caller, which
 * keeps the records, checks them together: no key twice, each user's domain, counts and digest.
 * Every method throws RefusedAnswer.
 */
export class AnswerParser {
  #header: Header | undefined;
  #ended = false;
  #refused = false;
  #lines = 0;

  /** The number of the line that was pushed last, from 1. */
  get line(): number {
    return this.#lines;
  }

  get header(): Header | undefined {
    return this.#header;
  }

  /** @returns the record or removal; undefined for the header and for the end line */
  push(line: string): MailRecord | Removal | undefined {
    this.#lines += 1;
    const header = this.#header;
    if (header === undefined) {
      this.#header = this.#parseHeader(line);
      return undefined;
    }
    if (this.#ended) this.refuse("wrong_counts");
    if (line.startsWith('{"end":')) {
      if (line !== encodeEnd(this.#lines - 2)) this.refuse("wrong_counts");
      this.#ended = true;
      return undefined;
    }
    const removal = header.kind === "delta" ? parseRemoval(line) : undefined;
    return removal ?? parseRecord(line, header.role) ?? this.refuse("damaged_record");
  }

  finish(): Header {
    if (this.#header === undefined) return this.refuse("not_maps");
    if (!this.#ended) this.refuse("cut_short");
    return this.#header;
  }

  /** True once a line was refused. */
  get isRefused(): boolean {
    return this.#refused;
  }

  refuse(reason: RefusalReason, line = this.#lines): never {
    this.#refused = true;
    throw new RefusedAnswer(reason, line);
  }

  #parseHeader(line: string): Header {
    let header: Partial<Header> | null;
    try {
      header = JSON.parse(line);
    } catch {
      return this.refuse("not_maps");
    }
    if (typeof header !== "object" || header === null || typeof header.protocol !== "string") {
      return this.refuse("not_maps");
    }
    const { protocol, kind, role, history, revision, digest, counts, cursor } = header;
    if (protocol !== PROTOCOL || (kind !== "snapshot" && kind !== "delta"))
      return this.refuse("wrong_protocol");
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
    return valid ? (header as Header) : this.refuse("not_maps");
  }
}

type State = Omit<MailState, "domains" | "users"> & {
  domains: Map<string, DomainRecord>;
  users: Map<string, MailRecord & { user: string }>;
};

/** Reads an answer into memory, and returns the state only after it has verified all of it. Every method throws RefusedAnswer. */
export class AnswerReader {
  readonly #base: MailState | undefined;
  readonly #parser = new AnswerParser();
  readonly #seen = new Set<string>();
  #state: State | undefined;
  #digest = new StateDigest();

  /** @param base the state whose cursor was sent; without one a delta is refused */
  constructor(base?: MailState) {
    this.#base = base;
  }

  push(text: string): void {
    const line = this.#parser.push(text);
    const { header } = this.#parser;
    if (header !== undefined) this.#state ??= this.#begin(header);
    if (line === undefined || this.#state === undefined) return;
    const key = "domain" in line ? line.domain : line.user;
    if (this.#seen.has(key)) this.#parser.refuse("duplicate_record");
    this.#seen.add(key);
    const after = "removed" in line ? undefined : line;
    if ("domain" in line) this.#set(this.#state.domains, key, after as DomainRecord | undefined);
    else {
      if (after !== undefined && !this.#state.domains.has(domainOf(key))) this.#parser.refuse("foreign_user");
      this.#set(this.#state.users, key, after as (MailRecord & { user: string }) | undefined);
    }
  }

  /** @returns the state that the answer leads to */
  finish(): MailState {
    const { counts, digest } = this.#parser.finish();
    const state = this.#state ?? this.#parser.refuse("not_maps");
    if (counts.domains !== state.domains.size || counts.users !== state.users.size)
      this.#parser.refuse("wrong_counts");
    if (digest !== this.#digest.toString()) this.#parser.refuse("wrong_digest");
    return state;
  }

  #begin({ kind, role, history, revision, digest, cursor }: Header): State {
    const heading = { role, history, revision, digest, cursor };
    if (kind === "snapshot") return { ...heading, domains: new Map(), users: new Map() };
    const base = this.#base;
    if (base === undefined || base.history !== history || base.role !== role)
      return this.#parser.refuse("wrong_protocol");
    if (base.revision > revision) return this.#parser.refuse("older_revision");
    this.#digest = StateDigest.fromHex(base.digest);
    return { ...heading, domains: new Map(base.domains), users: new Map(base.users) };
  }

  /** A removal may name an unknown record: one that came and went between two polls. */
  #set<T extends MailRecord>(records: Map<string, T>, key: string, after: T | undefined): void {
    const before = records.get(key);
    if (before !== undefined) this.#digest.remove(before);
    if (after === undefined) records.delete(key);
    else records.set(key, after);
    if (after !== undefined) this.#digest.add(after);
  }
}

export function domainOf(user: string): string {
  return user.slice(user.indexOf("@") + 1);
}

function isCounts(value: Counts | undefined): boolean {
  return isCount(value?.domains) && isCount(value?.users);
}

function isCount(value: unknown): boolean {
  return Number.isSafeInteger(value) && Number(value) >= 0;
}
