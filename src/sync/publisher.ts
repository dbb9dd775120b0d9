import { once } from "node:events";
import { type FileHandle, open, unlink } from "node:fs/promises";
import { Readable } from "node:stream";
import { setImmediate as nextTurn } from "node:timers/promises";
import { constants, createBrotliCompress } from "node:zlib";
import type { StateReading } from "../../db/store.ts";
import { MailError } from "../mail/error.ts";
import { encodeEnd, encodeHeader, stateTag } from "./snapshot.ts";

/** Bytes that are read at once. */
const CHUNK = 256 * 1024;

/** One state's maps, whole, compressed with brotli, in a file that has no name any more. */
interface Snapshot {
  revision: number;
  etag: string;
  file: FileHandle;
  size: number;
  /** Answers that still read the file, and the publisher itself while it is the current one. */
  users: number;
}

/** An answer with maps: `body` is compressed with brotli and `size` bytes long. */
export interface Publication {
  etag: string;
  size: number;
  body: Readable;
}

/**
 * Keeps the current state's maps ready. A million users are 148 MB of text and 48 MB of brotli (at its
 * fastest level, five times as fast as gzip's): made once a revision, a page at a time between other work,
 * and kept on disk, so that a hundred nodes that ask at once cost one reading and no memory.
 */
export class Publisher {
  readonly #readState: () => StateReading;
  readonly #folder: string;
  #current: Snapshot | undefined;
  #building: Promise<Snapshot> | undefined;

  /** @param folder where the file is kept; the hashes in it are as secret as the database beside it */
  constructor(readState: () => StateReading, folder: string) {
    this.#readState = readState;
    this.#folder = folder;
  }

  /** The maps of the state of `revision`, or of a later one. */
  async publish(revision: number): Promise<Publication> {
    for (;;) {
      const snapshot = this.#current;
      if (snapshot !== undefined && snapshot.revision >= revision) return this.#read(snapshot);
      this.#building ??= this.#build().finally(() => {
        this.#building = undefined;
      });
      await this.#building;
    }
  }

  async close(): Promise<void> {
    await this.#building?.catch(() => {});
    if (this.#current !== undefined) await this.#release(this.#current);
    this.#current = undefined;
  }

  #read(snapshot: Snapshot): Publication {
    snapshot.users += 1;
    const body = Readable.from(chunks(snapshot));
    body.once("close", () => void this.#release(snapshot));
    return { etag: snapshot.etag, size: snapshot.size, body };
  }

  async #release(snapshot: Snapshot): Promise<void> {
    snapshot.users -= 1;
    if (snapshot.users === 0) await snapshot.file.close();
  }

  async #build(): Promise<Snapshot> {
    const file = await this.#namelessFile().catch(refuseFullDisk);
    try {
      const { revision, etag } = await writeMaps(this.#readState(), file);
      const { size } = await file.stat();
      const former = this.#current;
      this.#current = { revision, etag, file, size, users: 1 };
      if (former !== undefined) await this.#release(former);
      return this.#current;
    } catch (error) {
      await file.close();
      return refuseFullDisk(error);
    }
  }

  /** Without a name the file cannot be left behind, whatever kills this process. */
  async #namelessFile(): Promise<FileHandle> {
    const path = `${this.#folder}/.snapshot-${process.pid}-${Date.now()}`;
    const file = await open(path, "wx+", 0o600);
    await unlink(path);
    return file;
  }
}

/** A full disk is no bug: nodes come again. */
function refuseFullDisk(error: unknown): never {
  const code = error instanceof Error && "code" in error ? error.code : undefined;
  if (code !== "ENOSPC" && code !== "EDQUOT") throw error;
  throw new MailError("unavailable", "The disk with the database is full.", "Poll again later.");
}

/** By position: many answers read the one file at once. */
async function* chunks({ file, size }: Snapshot): AsyncGenerator<Buffer> {
  let position = 0;
  while (position < size) {
    const { buffer, bytesRead } = await file.read(Buffer.allocUnsafe(CHUNK), 0, CHUNK, position);
    if (bytesRead === 0) throw new Error("the snapshot's file is shorter than it was");
    position += bytesRead;
    yield buffer.subarray(0, bytesRead);
  }
}

async function writeMaps(
  reading: StateReading,
  file: FileHandle,
): Promise<{ revision: number; etag: string }> {
  try {
    const { summary } = reading;
    const compress = createBrotliCompress({
      params: {
        [constants.BROTLI_PARAM_QUALITY]: constants.BROTLI_MIN_QUALITY + 1,
        [constants.BROTLI_PARAM_MODE]: constants.BROTLI_MODE_TEXT,
      },
    });
    const done = file.writeFile(compress);
    // A failure is met where `done` is awaited at last; until then it must not count as unhandled.
    done.catch(() => {});
    compress.write(`${encodeHeader(summary)}\n`);
    for (const page of reading.pages()) {
      if (!compress.write(page)) await Promise.race([once(compress, "drain"), done]);
      // `drain` comes without the event loop having turned: without this, polls wait for the whole snapshot.
      await nextTurn();
    }
    compress.end(`${encodeEnd(summary.counts.domains + summary.counts.users)}\n`);
    await done;
    return { revision: summary.revision, etag: stateTag(summary) };
  } finally {
    reading.close();
  }
}
