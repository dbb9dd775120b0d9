import type { FastifyRequest } from "fastify";
import type { PollingNode, PollView, StateSummary } from "../../../db/store.ts";
import { stateTag } from "../../sync/answer.ts";
import { decodeCursor, type Position } from "../../sync/cursor.ts";

/** Number of results to keep. Most nodes wait at the newest cursor. */
const KEPT = 200;

/** A node's position compared with the database's. */
export type Comparison =
  | { kind: "current" }
  /** It has everything up to `since`. */
  | { kind: "behind"; since: number }
  /** Its position is not known: it gets everything. */
  | { kind: "unknown" }
  /** It has a state that this database never had, or no longer has. */
  | { kind: "beyond"; position: Position };

/** Compares nodes' positions with the database's, once for all nodes at the same cursor. */
export class Comparisons {
  #known = new Map<string, Promise<Comparison>>();
  /** The commit that they belong to. */
  #commit = 0;

  async compare(request: FastifyRequest, polls: PollView, { view }: PollingNode): Promise<Comparison> {
    const { since } = request.query as { since?: unknown };
    if (typeof since !== "string") {
      const isCurrent = request.headers["if-none-match"] === stateTag(await polls.state(view));
      return { kind: isCurrent ? "current" : "unknown" };
    }
    if (this.#commit !== polls.commit || this.#known.size >= KEPT) this.#known = new Map();
    this.#commit = polls.commit;
    const key = `${view.id} ${since}`;
    const known = this.#known;
    const before = known.get(key);
    if (before !== undefined) return before;
    const comparison = compare(since, polls, view);
    known.set(key, comparison);
    comparison.catch(() => known.delete(key));
    return comparison;
  }
}

async function compare(cursor: string, polls: PollView, view: PollingNode["view"]): Promise<Comparison> {
  const state = await polls.state(view);
  const position = decodeCursor(cursor, polls.cursorKey);
  if (position === undefined || position.history !== state.history) return { kind: "unknown" };
  if (await isBeyond(position, state, polls)) return { kind: "beyond", position };
  if (position.view !== view.id) return { kind: "unknown" };
  if (position.revision === state.revision) return { kind: "current" };
  const remembered = (await polls.digestAt(position.revision)) !== undefined;
  return remembered ? { kind: "behind", since: position.revision } : { kind: "unknown" };
}

async function isBeyond(position: Position, state: StateSummary, polls: PollView): Promise<boolean> {
  if (position.revision > state.revision) return true;
  const digest =
    position.revision === state.revision
      ? state.wholeDigest
      : ((await polls.digestAt(position.revision)) ?? position.digest);
  return digest !== position.digest;
}
