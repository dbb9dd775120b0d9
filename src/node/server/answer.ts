import type { IncomingMessage } from "node:http";
import { pipeline, type Readable, Transform } from "node:stream";
import { createBrotliDecompress, createGunzip } from "node:zlib";
import { systemCode } from "../../machine/faults.ts";
import { RefusedAnswer } from "../../sync/reader.ts";

/** Longer than any record: an address has at most 254 characters, a hash a few hundred. */
const MAX_LINE = 4096;
/** Our own maps unpack to at most 90 times their size (a million long domains): a higher ratio is an attack on memory. */
const MOST_RATIO = 100;
/** Bytes to accept at any ratio. */
const FREE = 1 << 20;

/**
 * The lines of an answer with maps, some at a time as they arrive.
 *
 * @throws RefusedAnswer, and the connection's errors
 */
export async function* linesOf(response: IncomingMessage, maxBytes: number): AsyncGenerator<string[]> {
  const type = response.headers["content-type"]?.split(";")[0]?.trim().toLowerCase();
  if (type !== "application/x-ndjson") throw new RefusedAnswer("not_maps", 1);
  if (Number(response.headers["content-length"]) > maxBytes) throw new RefusedAnswer("too_large", 1);
  let count = 0;
  let rest = "";
  let bytes = 0;
  try {
    for await (const piece of unpacked(response, () => count + 1)) {
      bytes += piece.length;
      const lines = (rest + piece.toString("latin1")).split("\n");
      rest = lines.pop() ?? "";
      const long = [...lines, rest].findIndex((line) => line.length > MAX_LINE);
      if (bytes > maxBytes || long >= 0) throw new RefusedAnswer("too_large", count + 1 + Math.max(long, 0));
      count += lines.length;
      if (lines.length > 0) yield lines;
    }
  } catch (error) {
    throw refusalOf(error, count + 1) ?? error;
  }
  if (rest === "") return;
  // The end line may lack its line feed; any other unfinished line means that the answer was cut short.
  if (count > 0 && !/^\{"end":\d+\}$/.test(rest)) throw new RefusedAnswer("cut_short", count + 1);
  yield [rest];
}

function refusalOf(error: unknown, line: number): RefusedAnswer | undefined {
  if (error instanceof RefusedAnswer) return error;
  const code = systemCode(error);
  // The connection ended before the answer did, or its last block is missing.
  if (code === "ECONNRESET" || code === "Z_BUF_ERROR") return new RefusedAnswer("cut_short", line);
  if (code?.startsWith("Z_") || code?.startsWith("ERR_BROTLI") || code?.startsWith("ERR__ERROR")) {
    return new RefusedAnswer("damaged_record", line);
  }
  return undefined;
}

/** @throws RefusedAnswer too_large, at `line()`, if it unpacks to far more than arrived */
async function* unpacked(response: IncomingMessage, line: () => number): AsyncGenerator<Buffer> {
  let received = 0;
  let given = 0;
  const count = (bytes: number): void => {
    received += bytes;
  };
  for await (const piece of decoded(response, count)) {
    given += (piece as Buffer).length;
    if (given > FREE + MOST_RATIO * received) throw new RefusedAnswer("too_large", line());
    yield piece as Buffer;
  }
}

/** @param count receives the size of each arriving piece, in bytes */
function decoded(response: IncomingMessage, count: (bytes: number) => void): Readable {
  const encoding = response.headers["content-encoding"]?.trim().toLowerCase() ?? "identity";
  const counted = new Transform({
    transform(piece: Buffer, _encoding, done) {
      count(piece.length);
      done(null, piece);
    },
  });
  if (encoding === "identity") return pipeline(response, counted, () => undefined);
  const decoders: Record<string, typeof createGunzip | typeof createBrotliDecompress> = {
    br: createBrotliDecompress,
    gzip: createGunzip,
    "x-gzip": createGunzip,
  };
  const decoder = decoders[encoding];
  if (decoder === undefined) throw new RefusedAnswer("not_maps", 1);
  // The reader of the last part sees every part's error.
  return pipeline(response, counted, decoder(), () => undefined);
}
