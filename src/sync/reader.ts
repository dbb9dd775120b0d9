import { type Counts, encodeEnd, type Header, PROTOCOL } from "./answer.ts";
import { type MailRecord, nodeRoles, parseRecord, parseRemoval, type Removal } from "./records.ts";

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
  foreign_user: "a user's or an alias's domain is not among the domains",
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

export function domainOf(address: string): string {
  return address.slice(address.indexOf("@") + 1);
}

const countNames = ["domains", "users", "aliases", "domain_aliases"] as const;

function isCounts(value: Counts | undefined): boolean {
  return countNames.every((name) => isCount(value?.[name]));
}

function isCount(value: unknown): boolean {
  return Number.isSafeInteger(value) && Number(value) >= 0;
}
