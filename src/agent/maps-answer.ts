import type { IncomingMessage } from "node:http";
import { pipeline, type Readable, Transform } from "node:stream";
import { createBrotliDecompress, createGunzip } from "node:zlib";
import type { MailState } from "../sync/answer.ts";
import { AnswerReader, RefusedAnswer } from "../sync/reader.ts";
import { systemCode } from "./faults.ts";
import { LineSplitter } from "./lines.ts";

/** Not the answer's last word: everything may be asked for in its place. */
export class RefusedDelta extends RefusedAnswer {}

/**
 * Reads an answer with maps to its end, and proves it.
 *
 * @param base the state that was asked from; called only when the answer is a delta
 * @throws RefusedAnswer (RefusedDelta when it was one), and what the connection throws
 */
export async function readMaps(
  response: IncomingMessage,
  maxBytes: number,
  base: (() => Promise<MailState | undefined>) | undefined,
): Promise<MailState> {
  const type = response.headers["content-type"]?.split(";")[0]?.trim().toLowerCase();
  if (type !== "application/x-ndjson") throw new RefusedAnswer("not_maps", 1);
  if (Number(response.headers["content-length"]) > maxBytes) throw new RefusedAnswer("too_large", 1);
  let reader = new AnswerReader();
  let delta = false;
  let lines = 0;
  const splitter = new LineSplitter((line) => {
    lines += 1;
    reader.push(line);
  }, maxBytes);
  try {
    // What the answer is decides what it is read against, so its first line is looked at first.
    let opening: string | undefined = "";
    for await (const piece of unpacked(response, () => lines + 1)) {
      const text = piece.toString("latin1");
      if (opening === undefined) {
        splitter.add(text);
        continue;
      }
      opening += text;
      if (!opening.includes("\n") && opening.length < MAX_OPENING) continue;
      delta = IS_DELTA.test(opening);
      if (delta) reader = new AnswerReader(await base?.());
      splitter.add(opening);
      opening = undefined;
    }
    if (opening !== undefined) splitter.add(opening);
    splitter.end();
    return reader.finish();
  } catch (error) {
    const refusal = refusalOf(error, lines + 1);
    if (refusal === undefined) throw error;
    throw delta ? new RefusedDelta(refusal.reason, refusal.line) : refusal;
  }
}

const MAX_OPENING = 4096;
/** Our own maps unpack to 90 times their size at most (a million long domains): more is made to fill the memory. */
const MOST_RATIO = 100;
/** So many bytes are taken whatever they came in. */
const FREE = 1 << 20;
const IS_DELTA = /^[^\n]*"kind":"delta"/;

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

/** @throws RefusedAnswer too_large, at `line()`, once there is far more than came */
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

/** @param count is told of each piece that came, in bytes */
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
