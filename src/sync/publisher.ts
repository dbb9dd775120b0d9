import type { Readable } from "node:stream";
import type { PollView, StateSummary, Store } from "../../db/store.ts";
import { encodeEnd, encodeHeader, type Header, stateTag } from "./answer.ts";
import { encodeCursor } from "./cursor.ts";
import { type Encoding, MapsFiles } from "./maps-files.ts";
import { type View, wholeView } from "./view.ts";

/** A delta of at most this many changes is read at once, in about 10 ms. Larger ones are built like a snapshot. */
const SMALL_DELTA = 2_000;
/** Number of small deltas to cache, usually some hundred bytes each: nodes come from few revisions. */
const KEPT_DELTAS = 200;
/** Number of file sets to cache. Most nodes share one view, and few come from the same old revision. */
const KEPT_FILES = 8;

/** An answer with maps. */
export interface Publication {
  kind: Header["kind"];
  etag: string;
  encoding: Encoding;
  /** Size of the body in bytes. */
  size: number;
  body: Readable | Buffer;
}

/**
 * Caches the current state's maps. They are built once a revision and kept on disk, so that a hundred nodes that ask at
 * once cost one read of the database and no memory. Small deltas are read at once and kept in memory.
 */
export class Publisher {
  readonly #store: Pick<Store, "polls" | "readState">;
  readonly #folder: string;
  readonly #files = new Map<string, MapsFiles>();
  readonly #building = new Map<string, Promise<MapsFiles>>();
  /** The build under way, or the last one: one file set is built at a time, across all views. */
  #lastBuild: Promise<unknown> = Promise.resolve();
  #deltas = new Map<string, Promise<Publication | undefined>>();
  #deltasOf = "";

  /** @param folder holds the files; their hashes are as secret as the database beside them */
  constructor(store: Pick<Store, "polls" | "readState">, folder: string) {
    this.#store = store;
    this.#folder = folder;
  }

  /**
   * Returns the maps of the state that `polls` shows, or of a later one: all records, or the changes after revision
   * `since`. It is all records, too, when a new history has begun since that look: it may lack these changes. Small deltas
   * are not compressed.
   */
  async publish(polls: PollView, view: View, encoding: Encoding, since?: number): Promise<Publication> {
    const state = await polls.state(view);
    const delta = since === undefined ? undefined : await this.#smallDelta(polls, view, state, since);
    if (delta !== undefined) return delta;
    // Many changes, few of them for this limited node: reading its whole part is less work.
    return this.#fromFiles(state, view, encoding, view.domains === null ? since : undefined);
  }

  async #fromFiles(state: StateSummary, view: View, encoding: Encoding, from?: number): Promise<Publication> {
    const key = `${view.id} ${from ?? ""}`;
    for (;;) {
      const ready = this.#files.get(key);
      const { history, revision = 0 } = ready?.header ?? {};
      if (ready !== undefined && history === state.history && revision >= state.revision) {
        return this.#read(key, ready, encoding);
      }
      const underWay = this.#building.get(key);
      if (underWay !== undefined) {
        // The build may have begun before this state.
        await underWay;
        continue;
      }
      const building = this.#lastBuild
        .then(() => this.#build(key, view, from))
        .finally(() => this.#building.delete(key));
      this.#lastBuild = building.catch(() => {});
      this.#building.set(key, building);
      const built = await building;
      const isOfAnother = from !== undefined && built.header.history !== state.history;
      if (isOfAnother) return this.#fromFiles(state, view, encoding);
      if (this.#files.get(key) === built) return this.#read(key, built, encoding);
    }
  }

  /** Drops the maps of former states. Nobody gets them any more, and their hashes must go. */
  async dropOld(): Promise<void> {
    const { history, revision } = await (await this.#store.polls.look()).state(wholeView);
    if (this.#deltasOf !== `${history} ${revision}`) this.#deltas = new Map();
    for (const [key, maps] of this.#files) {
      if (maps.header.history === history && maps.header.revision >= revision) continue;
      this.#files.delete(key);
      await maps.release();
    }
  }

  async close(): Promise<void> {
    await Promise.allSettled(this.#building.values());
    for (const maps of this.#files.values()) await maps.release();
    this.#files.clear();
  }

  /** undefined if there are too many changes */
  #smallDelta(
    polls: PollView,
    view: View,
    state: StateSummary,
    since: number,
  ): Promise<Publication | undefined> {
    const stateId = `${state.history} ${state.revision}`;
    if (stateId !== this.#deltasOf || this.#deltas.size > KEPT_DELTAS) this.#deltas = new Map();
    this.#deltasOf = stateId;
    const key = `${view.id} ${since}`;
    const known = this.#deltas.get(key);
    if (known !== undefined) return known;
    const deltas = this.#deltas;
    const reading = readDelta(polls, view, state, since);
    deltas.set(key, reading);
    reading.catch(() => deltas.delete(key));
    return reading;
  }

  #read(key: string, maps: MapsFiles, encoding: Encoding): Publication {
    // Least recently used is dropped first.
    this.#files.delete(key);
    this.#files.set(key, maps);
    const { kind } = maps.header;
    return { kind, etag: stateTag(maps.header), encoding, ...maps.read(encoding) };
  }

  async #build(key: string, view: View, since: number | undefined): Promise<MapsFiles> {
    const kind = since === undefined ? "snapshot" : "delta";
    const { cursorKey } = await this.#store.polls.look();
    const reading = await this.#store.readState(view, since);
    const header = headerOf(kind, view, reading.summary, cursorKey);
    const maps = await MapsFiles.write(this.#folder, reading, header);
    const former = this.#files.get(key);
    this.#files.set(key, maps);
    await former?.release();
    await this.#dropOldest();
    return maps;
  }

  async #dropOldest(): Promise<void> {
    for (const [key, maps] of this.#files) {
      if (this.#files.size <= KEPT_FILES) return;
      this.#files.delete(key);
      await maps.release();
    }
  }
}

async function readDelta(
  polls: PollView,
  view: View,
  { history }: StateSummary,
  since: number,
): Promise<Publication | undefined> {
  const changes = await polls.changes(view, since, SMALL_DELTA);
  if (changes === undefined) return undefined;
  const { summary, lines } = changes;
  if (summary.history !== history) return undefined;
  const header = encodeHeader(headerOf("delta", view, summary, polls.cursorKey));
  const body = Buffer.from(`${header}\n${lines.join("")}${encodeEnd(lines.length)}\n`);
  const etag = stateTag(summary);
  return { kind: "delta", etag, encoding: "identity", size: body.length, body };
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
