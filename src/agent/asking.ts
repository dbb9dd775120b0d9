import type { MailState } from "../sync/answer.ts";
import { RefusedAnswer } from "../sync/reader.ts";
import type { Client, MapsAnswer } from "./client.ts";
import { explain, TemporaryFailure, WrongAnswer } from "./faults.ts";
import type { Host } from "./host.ts";
import { isReturn } from "./losses.ts";
import { RefusedDelta } from "./maps-answer.ts";
import type { Start } from "./repair.ts";
import type { Outcome } from "./reporting.ts";
import { type NodeState, noteNodeState } from "./state.ts";

/** What was refused at first, where asking for everything came to nothing as well. */
export class RefusedFirst extends Error {
  readonly refusal: RefusedDelta;
  readonly retryAfter: number | undefined;

  constructor(refusal: RefusedDelta, then: unknown) {
    super(refusal.message, { cause: then });
    this.refusal = refusal;
    this.retryAfter = then instanceof TemporaryFailure ? then.retryAfter : undefined;
  }
}

/**
 * Asks for what is new, and for everything where that is refused.
 *
 * @throws like fetchMaps, and RefusedFirst
 */
export async function ask(
  host: Host,
  client: Client,
  key: string,
  start: Start,
  wait: number,
): Promise<MapsAnswer> {
  const { position, kept, fault } = start;
  const base = async (): Promise<MailState | undefined> => (await kept())?.server;
  const sound = async (answer: MapsAnswer): Promise<MapsAnswer> => {
    await refuseReturn(answer, start);
    return answer;
  };
  try {
    return await sound(await client.fetchMaps(key, { position, base, wait: fault === undefined ? wait : 0 }));
  } catch (refusal) {
    if (!(refusal instanceof RefusedDelta)) throw refusal;
    host.log(`the changes that the server sent are refused, everything is asked for: ${refusal.message}`);
    try {
      return await sound(await client.fetchMaps(key, { floor: position }));
    } catch (error) {
      host.log(explain(error));
      throw new RefusedFirst(refusal, error);
    }
  }
}

/** An answer of a history that this node has left for a later one. */
export class ReturnedHistory extends RefusedAnswer {
  readonly history: string;

  constructor(history: string) {
    super("returned_history", 1);
    this.history = history;
  }
}

/** Answers in a row: at the pace of a resident program, half an hour or so. */
const ALONE = 10;

/**
 * Keeps a node from following two databases behind one address in turn: a history that it has left is refused, unless
 * nothing else was heard for so many answers. Then it is no twin but an old file that was put back by hand.
 *
 * @throws ReturnedHistory
 */
export async function refuseReturn(
  { state }: MapsAnswer,
  { position, kept, recorded }: Pick<Start, "position" | "kept" | "recorded">,
): Promise<void> {
  if (state === undefined || state.history === position?.history) return;
  const has = await kept();
  if (has === undefined || !isReturn(has, state.history)) return;
  if (recorded?.returned?.history === state.history && recorded.returned.times >= ALONE) return;
  throw new ReturnedHistory(state.history);
}

/** @returns the state with a note of one more such answer */
export async function noteReturn(
  host: Host,
  out: string,
  state: NodeState | undefined,
  { history }: ReturnedHistory,
): Promise<NodeState | undefined> {
  if (state === undefined) return undefined;
  const times = state.returned?.history === history ? state.returned.times + 1 : 1;
  const next = { ...state, returned: { history, times } };
  await noteNodeState(host, out, next);
  return next;
}

/** In the words of a report. */
export function refusedBecause(refusal: RefusedAnswer | WrongAnswer): Outcome {
  if (refusal instanceof WrongAnswer) return { status: "refused", reason: "not_maps" };
  const { reason, line } = refusal;
  const counted = ["damaged_record", "duplicate_record", "foreign_user"].includes(reason);
  return { status: "refused", reason, count: counted ? line : undefined };
}
