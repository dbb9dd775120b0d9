import { type FileHandle, open, unlink } from "node:fs/promises";
import { Readable } from "node:stream";
import { setImmediate as nextTurn } from "node:timers/promises";
import { constants, createBrotliCompress } from "node:zlib";
import type { PollView, Reading, StateSummary, Store } from "../../db/store.ts";
import { MailError } from "../mail/error.ts";
import { encodeEnd, encodeHeader, type Header, stateTag } from "./answer.ts";
import { encodeCursor } from "./cursor.ts";
import { type View, wholeView } from "./view.ts";

/** Changes that are read at once, in some ten milliseconds at most; more go the way of a snapshot. */
const SMALL_DELTA = 2_000;
/** Small deltas that are kept, each some hundred bytes as a rule: nodes come from few revisions. */
const KEPT_DELTAS = 200;
/** Files that are kept. Most nodes have the one view, and few come from the same revision long ago. */
const KEPT_FILES = 8;

/** Bytes that are read at once. */
const CHUNK = 256 * 1024;

/** Whole maps, compressed with brotli, in a file that has no name any more. */
interface MapsFile {
  history: string;
  revision: number;
  kind: Header["kind"];
  etag: string;
  file: FileHandle;
  size: number;
  /** Answers that still read the file, and the publisher itself while it keeps it. */
  users: number;
}

/** An answer with maps. */
export interface Publication {
  kind: Header["kind"];
  etag: string;
  /** `br`: compressed with brotli, `size` bytes. */
  encoding: "br" | "identity";
  size: number;
  body: Readable | Buffer;
}

/**
 * Keeps the current state's maps ready. A million users are 148 MB of text and 48 MB of brotli (at its
 * fastest level, five times as fast as gzip's): made once a revision, a page at a time between other work,
 * and kept on disk, so that a hundred nodes that ask at once cost one reading and no memory. Small deltas,
 * the rule, are read at once and kept in memory.
 */
export class Publisher {
  readonly #store: Pick<Store, "polls" | "readState">;
  readonly #folder: string;
  readonly #files = new Map<string, MapsFile>();
  readonly #building = new Map<string, Promise<MapsFile>>();
  /** One is built at a time, however many views there are. */
  #turn: Promise<unknown> = Promise.resolve();
  #deltas = new Map<string, Publication>();
  #deltasOf = "";

  /** @param folder where files are kept; the hashes in them are as secret as the database beside them */
  constructor(store: Pick<Store, "polls" | "readState">, folder: string) {
    this.#store = store;
    this.#folder = folder;
  }

  /**
   * The maps of the state of `state.revision`, or of a later one: all of them, or what changed after the
   * revision `since`.
   */
  async publish(polls: PollView, view: View, state: StateSummary, since?: number): Promise<Publication> {
    const delta = since === undefined ? undefined : this.#smallDelta(polls, view, state, since);
    if (delta !== undefined) return delta;
    // Many changes, of which a limited node gets few: its whole part is less work to read than they are.
    const from = view.domains === null ? since : undefined;
    const key = `${view.id} ${from ?? ""}`;
    for (;;) {
      const ready = this.#files.get(key);
      if (ready !== undefined && ready.history === state.history && ready.revision >= state.revision) {
        return this.#read(key, ready);
      }
      const underWay = this.#building.get(key);
      if (underWay !== undefined) {
        // It may have begun before this state was there.
        await underWay;
        continue;
      }
      const building = this.#turn
        .then(() => this.#build(key, view, from))
        .finally(() => this.#building.delete(key));
      this.#turn = building.catch(() => {});
      this.#building.set(key, building);
      const built = await building;
      if (this.#files.get(key) === built) return this.#read(key, built);
    }
  }

  /** Drops what was made of states that are over, which nobody gets any more: they have hashes that are to be gone. */
  async dropOld(): Promise<void> {
    const { history, revision } = this.#store.polls.now().state(wholeView);
    if (this.#deltasOf !== `${history} ${revision}`) this.#deltas = new Map();
    for (const [key, maps] of this.#files) {
      if (maps.history === history && maps.revision >= revision) continue;
      this.#files.delete(key);
      await this.#release(maps);
    }
  }

  async close(): Promise<void> {
    await Promise.allSettled(this.#building.values());
    for (const file of this.#files.values()) await this.#release(file);
    this.#files.clear();
  }

  #smallDelta(polls: PollView, view: View, state: StateSummary, since: number): Publication | undefined {
    const stateId = `${state.history} ${state.revision}`;
    if (stateId !== this.#deltasOf || this.#deltas.size > KEPT_DELTAS) this.#deltas = new Map();
    this.#deltasOf = stateId;
    const key = `${view.id} ${since}`;
    const known = this.#deltas.get(key);
    if (known !== undefined) return known;
    const changes = polls.changes(view, since, SMALL_DELTA);
    if (changes === undefined) return undefined;
    const { summary, lines } = changes;
    const header = encodeHeader(headerOf("delta", view, summary, polls.cursorKey()));
    const body = Buffer.from(`${header}\n${lines.join("")}${encodeEnd(lines.length)}\n`);
    const etag = stateTag(summary);
    const delta: Publication = { kind: "delta", etag, encoding: "identity", size: body.length, body };
    this.#deltas.set(key, delta);
    return delta;
  }

  #read(key: string, maps: MapsFile): Publication {
    // The one that was asked for last is the last to be dropped.
    this.#files.delete(key);
    this.#files.set(key, maps);
    maps.users += 1;
    const body = Readable.from(chunks(maps));
    body.once("close", () => void this.#release(maps));
    return { kind: maps.kind, etag: maps.etag, encoding: "br", size: maps.size, body };
  }

  async #release(maps: MapsFile): Promise<void> {
    maps.users -= 1;
    if (maps.users === 0) await maps.file.close();
  }

  async #build(key: string, view: View, since: number | undefined): Promise<MapsFile> {
    const file = await this.#namelessFile().catch(refuseFullDisk);
    try {
      const reading = this.#store.readState(view, since);
      const kind = since === undefined ? "snapshot" : "delta";
      const header = headerOf(kind, view, reading.summary, this.#store.polls.now().cursorKey());
      await writeMaps(reading, header, file);
      const { size } = await file.stat();
      const { history, revision } = header;
      const maps: MapsFile = { history, revision, kind, etag: stateTag(header), file, size, users: 1 };
      const former = this.#files.get(key);
      this.#files.set(key, maps);
      if (former !== undefined) await this.#release(former);
      await this.#dropOldest();
      return maps;
    } catch (error) {
      await file.close();
      return refuseFullDisk(error);
    }
  }

  async #dropOldest(): Promise<void> {
    for (const [key, maps] of this.#files) {
      if (this.#files.size <= KEPT_FILES) return;
      this.#files.delete(key);
      await this.#release(maps);
    }
  }

  /** Without a name the file cannot be left behind, whatever kills this process. */
  async #namelessFile(): Promise<FileHandle> {
    const path = `${this.#folder}/.maps-${process.pid}-${process.hrtime.bigint()}`;
    const file = await open(path, "wx+", 0o600);
    await unlink(path);
    return file;
  }
}

function headerOf(
  kind: Header["kind"],
  view: View,
  summary: StateSummary,
  cursorKey: string,
): Omit<Header, "protocol"> {
  const { history, revision, digest, wholeDigest, counts } = summary;
  const position = { history, revision, digest: wholeDigest, view: view.id };
  return {
    kind,
    role: view.role,
    history,
    revision,
    digest,
    counts,
    cursor: encodeCursor(position, cursorKey),
  };
}

/** A full disk is no bug: nodes come again. */
function refuseFullDisk(error: unknown): never {
  const code = error instanceof Error && "code" in error ? error.code : undefined;
  if (code !== "ENOSPC" && code !== "EDQUOT") throw error;
  throw new MailError("unavailable", "The disk with the database is full.", "Poll again later.");
}

/** By position: many answers read the one file at once. */
async function* chunks({ file, size }: MapsFile): AsyncGenerator<Buffer> {
  let position = 0;
  while (position < size) {
    const { buffer, bytesRead } = await file.read(Buffer.allocUnsafe(CHUNK), 0, CHUNK, position);
    if (bytesRead === 0) throw new Error("the file with the maps is shorter than it was");
    position += bytesRead;
    yield buffer.subarray(0, bytesRead);
  }
}

async function writeMaps(
  reading: Reading,
  header: Omit<Header, "protocol">,
  file: FileHandle,
): Promise<void> {
  try {
    const compress = createBrotliCompress({
      params: {
        [constants.BROTLI_PARAM_QUALITY]: constants.BROTLI_MIN_QUALITY + 1,
        [constants.BROTLI_PARAM_MODE]: constants.BROTLI_MODE_TEXT,
      },
    });
    const done = file.writeFile(compress);
    // A failure is met where `done` is awaited at last; until then it must not count as unhandled.
    done.catch(() => {});
    compress.write(`${encodeHeader(header)}\n`);
    let lines = 0;
    for (const page of reading.pages()) {
      lines += countLines(page);
      if (!compress.write(page))
        await Promise.race([new Promise((resolve) => compress.once("drain", resolve)), done]);
      // `drain` comes without the event loop having turned: without this, polls wait for the whole snapshot.
      await nextTurn();
    }
    compress.end(`${encodeEnd(lines)}\n`);
    await done;
  } finally {
    reading.close();
  }
}

function countLines(page: string): number {
  let lines = 0;
  for (let at = page.indexOf("\n"); at >= 0; at = page.indexOf("\n", at + 1)) lines += 1;
  return lines;
}
