import { createHash } from "node:crypto";
import { encodeEnd, encodeHeader, type Header } from "../sync/answer.ts";
import { RefusedAnswer } from "../sync/reader.ts";
import {
  type AddressRecord,
  canonicalLine,
  type DomainRecord,
  type MailRecord,
  type UserRecord,
} from "../sync/records.ts";
import { systemCode } from "./faults.ts";
import type { FileSystem } from "./file-system.ts";
import { LineSplitter } from "./lines.ts";
import type { Kept, Ledger, Withheld } from "./losses.ts";
import { byAddress, inPieces } from "./render.ts";

const FORMAT = "m25-mail-node-2";

/**
 * The one file that a node's files can be made from: the server's state as a snapshot, and after its end what this
 * node knows besides:
 *
 *     {"kept":"m25-mail-node-2","hour":7,"ignored":null,"left":[],"peaks":[[7,120]]}
 *     {"withheld":42,"record":{"user":…}}     served although the server's state of revision 42 has it no more
 *     {"gone":"jan@example.nl","hour":6}      no longer served since that hour
 *     {"end":2,"sha256":"…"}                  how many lines stand between, and the hash of everything before this line
 */
export function* renderKept({ server, withheld, ledger }: Kept): Iterable<string> {
  const hash = createHash("sha256");
  for (const piece of pieces()) {
    hash.update(piece);
    yield piece;
  }
  yield `{"end":${withheld.size + ledger.gone.size},"sha256":"${hash.digest("hex")}"}\n`;

  function* pieces(): Iterable<string> {
    const { role, history, revision, digest, cursor, domains, users } = server;
    const counts = { domains: domains.size, users: users.size };
    const line = (record: MailRecord): string => `${canonicalLine(record)}\n`;
    yield `${encodeHeader({ kind: "snapshot", role, history, revision, digest, counts, cursor })}\n`;
    yield* inPieces(domains.values(), line);
    // In the order of all that is made of it: a million that are in order already are sorted in no time.
    yield* inPieces(Array.from(users.values()).sort(byAddress), line);
    yield `${encodeEnd(domains.size + users.size)}\n`;

    const { hour, ignored, left, peaks, gone } = ledger;
    yield `${JSON.stringify({ kept: FORMAT, hour, ignored, left, peaks: [...peaks] })}\n`;
    yield* inPieces(
      withheld.values(),
      ({ record, revision }) => `{"withheld":${revision},"record":${canonicalLine(record)}}\n`,
    );
    yield* inPieces(gone, ([user, since]) => `${JSON.stringify({ gone: user, hour: since })}\n`);
  }
}

/**
 * Reads what {@link renderKept} wrote, and proves by its hash that it is that: what this program wrote it does not
 * examine again, as it does what a server sends. At a million users that is most of an update's time.
 *
 * @returns undefined when there is none, or none that is whole
 */
export async function readKept(files: FileSystem, path: string): Promise<Kept | undefined> {
  const hash = createHash("sha256");
  const reader = new KeptReader();
  const splitter = new LineSplitter((line) => reader.push(line), Number.POSITIVE_INFINITY);
  let last = "";
  try {
    for await (const piece of files.readPieces(path)) {
      splitter.add(piece);
      last += piece;
      // The last line is not hashed, and which one that is shows at the end.
      const start = last.lastIndexOf("\n", last.length - 2) + 1;
      hash.update(last.slice(0, start), "latin1");
      last = last.slice(start);
    }
    splitter.end();
    return reader.finish(hash.digest("hex"));
  } catch (error) {
    // Whatever a damaged line breaks; a disk that fails is no damage.
    const damaged = [SyntaxError, TypeError, RefusedAnswer].some((kind) => error instanceof kind);
    if (damaged || systemCode(error) === "ENOENT") return undefined;
    throw error;
  }
}

interface Heading {
  kept: string;
  hour: number;
  ignored: string | null;
  left: string[];
  peaks: [number, number][];
}

type AnyLine =
  | Header
  | DomainRecord
  | UserRecord
  | AddressRecord
  | Heading
  | { withheld: number; record: UserRecord | AddressRecord }
  | { gone: string; hour: number }
  | { end: number; sha256?: string };

/** Lines that are proved only at their end: until then they are looked at without being believed. */
class KeptReader {
  readonly #domains = new Map<string, DomainRecord>();
  readonly #users = new Map<string, UserRecord | AddressRecord>();
  readonly #withheld = new Map<string, Withheld>();
  readonly #gone = new Map<string, number>();
  #header: Header | undefined;
  #heading: Omit<Ledger, "gone"> | undefined;
  #hash: string | undefined;

  push(text: string): void {
    const line = JSON.parse(text) as AnyLine;
    // A user of the server's is by far the most likely.
    if ("user" in line) this.#users.set(line.user, line);
    else if ("domain" in line) this.#domains.set(line.domain, line);
    else if ("protocol" in line) this.#header = line;
    else if ("withheld" in line) {
      const { withheld: revision, record } = line;
      this.#withheld.set(record.user, { record, revision });
    } else if ("gone" in line) this.#gone.set(line.gone, line.hour);
    else if ("kept" in line) this.#heading = headingOf(line);
    else this.#hash = line.sha256;
  }

  /** @param hash of all that was pushed, without the last line */
  finish(hash: string): Kept | undefined {
    const [header, heading] = [this.#header, this.#heading];
    if (header === undefined || heading === undefined || this.#hash !== hash) return undefined;
    const { role, history, revision, digest, cursor } = header;
    const server = { role, history, revision, digest, cursor, domains: this.#domains, users: this.#users };
    return { server, withheld: this.#withheld, ledger: { ...heading, gone: this.#gone } };
  }
}

/** @throws SyntaxError when it is of another format */
function headingOf({ kept, hour, ignored, left, peaks }: Heading): Omit<Ledger, "gone"> {
  if (kept !== FORMAT) throw new SyntaxError(kept);
  return { hour, ignored, left, peaks: new Map(peaks) };
}
