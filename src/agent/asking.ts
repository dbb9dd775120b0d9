import type { MailState } from "../sync/answer.ts";
import { RefusedAnswer } from "../sync/reader.ts";
import type { Client, MapsAnswer } from "./client.ts";
import { explain, TemporaryFailure } from "./faults.ts";
import type { Host } from "./host.ts";
import { isReturn } from "./losses.ts";
import { RefusedDelta } from "./maps-answer.ts";
import type { Start } from "./repair.ts";
import type { Outcome } from "./reporting.ts";

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
  { position, kept, fault }: Start,
  wait: number,
): Promise<MapsAnswer> {
  const base = async (): Promise<MailState | undefined> => (await kept())?.server;
  const sound = async (answer: MapsAnswer): Promise<MapsAnswer> => {
    await refuseReturn(answer, position?.history, kept);
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

/** @throws RefusedAnswer when two servers with different histories answer in turn */
export async function refuseReturn(
  { state }: MapsAnswer,
  history: string | undefined,
  kept: Start["kept"],
): Promise<void> {
  if (state === undefined || state.history === history) return;
  const has = await kept();
  if (has !== undefined && isReturn(has, state.history)) throw new RefusedAnswer("returned_history", 1);
}

/** In the words of a report. */
export function refusedBecause({ reason, line }: RefusedAnswer): Outcome {
  const counted = ["damaged_record", "duplicate_record", "foreign_user"].includes(reason);
  return { status: "refused", reason, count: counted ? line : undefined };
}
