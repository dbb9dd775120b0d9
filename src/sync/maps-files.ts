import { type FileHandle, open, unlink } from "node:fs/promises";
import { Readable } from "node:stream";
import { constants, createBrotliCompress } from "node:zlib";
import { MailError } from "../mail/error.ts";
import { encodeEnd, encodeHeader, type Header } from "./answer.ts";

/** Plain text or brotli. */
export type Encoding = "identity" | "br";

type MapsHeader = Omit<Header, "protocol">;

/** Record lines with line feeds, a few hundred a page. */
interface Source {
  pages(): AsyncIterable<string>;
  close(): Promise<void>;
}

/** Bytes per read. */
const CHUNK = 256 * 1024;

/**
 * Whole maps on disk, as text and as brotli at its fastest level, which is five times as fast as gzip's. The files are
 * unlinked once open, so a killed process leaves none behind. docs/decisions/snapshot-files.md has the sizes.
 */
export class MapsFiles {
  readonly header: MapsHeader;
  readonly #files: Record<Encoding, FileHandle>;
  /** In bytes. */
  readonly #sizes: Record<Encoding, number>;
  /** Number of answers that read the files, and one for the cache. The last to release them closes them. */
  #holders = 1;

  private constructor(
    header: MapsHeader,
    files: Record<Encoding, FileHandle>,
    sizes: Record<Encoding, number>,
  ) {
    this.header = header;
    this.#files = files;
    this.#sizes = sizes;
  }

  /**
   * Writes all of `source` a page at a time, between other work, and closes it.
   *
   * @throws MailError unavailable when the disk is full
   */
  static async write(folder: string, source: Source, header: MapsHeader): Promise<MapsFiles> {
    const opened: FileHandle[] = [];
    try {
      for (let file = 0; file < 2; file += 1) opened.push(await namelessFile(folder));
      const [identity, br] = opened as [FileHandle, FileHandle];
      await writeMaps(source, header, { identity, br });
      const sizes = { identity: (await identity.stat()).size, br: (await br.stat()).size };
      return new MapsFiles(header, { identity, br }, sizes);
    } catch (error) {
      await closeAll(opened);
      return refuseFullDisk(error);
    } finally {
      await source.close();
    }
  }

  /** `size` is in bytes. The files stay open until `body` is closed. */
  read(encoding: Encoding): { size: number; body: Readable } {
    this.#holders += 1;
    const size = this.#sizes[encoding];
    const body = Readable.from(chunks(this.#files[encoding], size));
    body.once("close", () => void this.release());
    return { size, body };
  }

  /** Each holder calls it once. */
  async release(): Promise<void> {
    this.#holders -= 1;
    if (this.#holders === 0) await closeAll(Object.values(this.#files));
  }
}

async function writeMaps(
  source: Source,
  header: MapsHeader,
  { identity, br }: Record<Encoding, FileHandle>,
): Promise<void> {
  const compress = createBrotliCompress({
    params: {
      [constants.BROTLI_PARAM_QUALITY]: constants.BROTLI_MIN_QUALITY + 1,
      [constants.BROTLI_PARAM_MODE]: constants.BROTLI_MODE_TEXT,
    },
  });
  const compressed = br.writeFile(compress);
  // The failure is handled where `compressed` is awaited; until then it must not count as unhandled.
  compressed.catch(() => {});
  const write = async (text: string) => {
    // This wait lets the server answer polls in between: `drain` alone arrives without a turn of the event loop.
    await identity.writeFile(text);
    if (compress.write(text)) return;
    await Promise.race([new Promise((resolve) => compress.once("drain", resolve)), compressed]);
  };
  try {
    await write(`${encodeHeader(header)}\n`);
    let lines = 0;
    for await (const page of source.pages()) {
      lines += countLines(page);
      await write(page);
    }
    await write(`${encodeEnd(lines)}\n`);
    compress.end();
    await compressed;
  } finally {
    compress.destroy();
  }
}

/** Reads by position, because many answers read the same file at once. */
async function* chunks(file: FileHandle, size: number): AsyncGenerator<Buffer> {
  let position = 0;
  while (position < size) {
    const { buffer, bytesRead } = await file.read(Buffer.allocUnsafe(CHUNK), 0, CHUNK, position);
    if (bytesRead === 0) throw new Error("the file with the maps is shorter than it was");
    position += bytesRead;
    yield buffer.subarray(0, bytesRead);
  }
}

async function namelessFile(folder: string): Promise<FileHandle> {
  const path = `${folder}/.maps-${process.pid}-${process.hrtime.bigint()}`;
  const file = await open(path, "wx+", 0o600);
  try {
    await unlink(path);
    return file;
  } catch (error) {
    await file.close();
    throw error;
  }
}

/** Ignores errors: nothing reads the file any more. */
async function closeAll(files: readonly FileHandle[]): Promise<void> {
  await Promise.allSettled(files.map((file) => file.close()));
}

/** Treats a full disk as an expected failure: nodes retry. */
function refuseFullDisk(error: unknown): never {
  const code = error instanceof Error && "code" in error ? error.code : undefined;
  if (code !== "ENOSPC" && code !== "EDQUOT") throw error;
  throw new MailError("unavailable", "The disk with the database is full.", "Poll again later.");
}

function countLines(page: string): number {
  let lines = 0;
  for (let at = page.indexOf("\n"); at >= 0; at = page.indexOf("\n", at + 1)) lines += 1;
  return lines;
}
