import { createHash } from "node:crypto";
import { encodeEnd, encodeHeader } from "../sync/answer.ts";
import { AnswerReader, RefusedAnswer } from "../sync/reader.ts";
import {
  type AddressRecord,
  canonicalLine,
  type MailRecord,
  parseRecord,
  type UserRecord,
} from "../sync/records.ts";
import { systemCode } from "./faults.ts";
import type { FileSystem } from "./file-system.ts";
import { LineSplitter } from "./lines.ts";
import type { Kept, Ledger, Withheld } from "./losses.ts";
import { inPieces } from "./render.ts";

const FORMAT = "m25-mail-node-1";

/**
 * The one file that a node's files can be made from: the server's state as a snapshot, so that one reader proves
 * what a server sends and what is kept, and after its end what this node knows besides:
 *
 *     {"kept":"m25-mail-node-1","hour":7,"ignored":null,"left":[],"peaks":[[7,120]]}
 *     {"withheld":42,"record":{"user":…}}     served although the server's state of revision 42 has it no more
 *     {"gone":"jan@example.nl","hour":6}      no longer served since that hour
 *     {"end":2,"sha256":"…"}                  how many lines stand between, and the hash of them all
 */
export function* renderKept({ server, withheld, ledger }: Kept): Iterable<string> {
  const { role, history, revision, digest, cursor, domains, users } = server;
  const counts = { domains: domains.size, users: users.size };
  const line = (record: MailRecord): string => `${canonicalLine(record)}\n`;
  yield `${encodeHeader({ kind: "snapshot", role, history, revision, digest, counts, cursor })}\n`;
  yield* inPieces(domains.values(), line);
  yield* inPieces(users.values(), line);
  yield `${encodeEnd(domains.size + users.size)}\n`;

  const { hour, ignored, left, peaks, gone } = ledger;
  const hash = createHash("sha256");
  for (const piece of pieces()) {
    hash.update(piece);
    yield piece;
  }
  yield `{"end":${withheld.size + gone.size},"sha256":"${hash.digest("hex")}"}\n`;

  function* pieces(): Iterable<string> {
    yield `${JSON.stringify({ kept: FORMAT, hour, ignored, left, peaks: [...peaks] })}\n`;
    yield* inPieces(
      withheld.values(),
      ({ record, revision }) => `{"withheld":${revision},"record":${canonicalLine(record)}}\n`,
    );
    yield* inPieces(gone, ([user, since]) => `${JSON.stringify({ gone: user, hour: since })}\n`);
  }
}

/**
 * Reads what {@link renderKept} wrote, and proves it.
 *
 * @returns undefined when there is none, or none that is whole
 */
export async function readKept(files: FileSystem, path: string): Promise<Kept | undefined> {
  const answer = new AnswerReader();
  const rest = new RestReader();
  let answered = false;
  const splitter = new LineSplitter((line) => {
    if (answered) return rest.push(line);
    answer.push(line);
    answered = line.startsWith('{"end":');
  }, Number.POSITIVE_INFINITY);
  try {
    for await (const piece of files.readPieces(path)) splitter.add(piece);
    splitter.end();
    const server = answer.finish();
    const { withheld, ledger } = rest.finish();
    return { server, withheld, ledger };
  } catch (error) {
    if (error instanceof RefusedAnswer || error instanceof Damaged || systemCode(error) === "ENOENT")
      return undefined;
    throw error;
  }
}

class Damaged extends Error {}

/** Everything after the snapshot. What is proved by its hash was written by this program: only shapes are looked at. */
class RestReader {
  readonly #hash = createHash("sha256");
  readonly #withheld = new Map<string, Withheld>();
  readonly #gone = new Map<string, number>();
  #heading: Omit<Ledger, "gone"> | undefined;
  #whole = false;

  push(line: string): void {
    let value: Partial<{ kept: string; withheld: number; gone: string; end: number }> &
      Record<string, unknown>;
    try {
      value = JSON.parse(line);
    } catch {
      throw new Damaged();
    }
    if (value.end !== undefined) {
      const lines = this.#withheld.size + this.#gone.size;
      this.#whole = value.end === lines && value.sha256 === this.#hash.digest("hex");
      return;
    }
    this.#hash.update(`${line}\n`);
    if (value.kept !== undefined) this.#heading = headingOf(value);
    else if (value.withheld !== undefined) this.#take(value.withheld, JSON.stringify(value.record));
    else if (value.gone !== undefined) this.#gone.set(value.gone, Number(value.hour));
  }

  finish(): { withheld: Map<string, Withheld>; ledger: Ledger } {
    if (this.#heading === undefined || !this.#whole) throw new Damaged();
    return { withheld: this.#withheld, ledger: { ...this.#heading, gone: this.#gone } };
  }

  /** Of either role: who was withheld before the role changed is kept as it was. */
  #take(revision: number, text: string): void {
    const record = parseRecord(text, "mail") ?? parseRecord(text, "mx");
    if (record === undefined || !isUser(record)) throw new Damaged();
    this.#withheld.set(record.user, { record, revision });
  }
}

function isUser(record: MailRecord): record is UserRecord | AddressRecord {
  return "user" in record;
}

function headingOf(heading: Record<string, unknown>): Omit<Ledger, "gone"> {
  // Earlier versions of this program remembered no histories.
  const { kept, hour, ignored, left = [], peaks } = heading;
  if (kept !== FORMAT || !Number.isSafeInteger(hour) || !Array.isArray(peaks) || !Array.isArray(left))
    throw new Damaged();
  const since = ignored === null ? null : Number(ignored);
  return { hour: Number(hour), ignored: since, left, peaks: new Map(peaks) };
}
