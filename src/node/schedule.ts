/** The resident program's timing from poll to poll. */
export interface Schedule {
  /** Milliseconds until the next question. */
  pause: number;
  /** Seconds that the server may wait with its answer. */
  wait: number;
  /** Polls in a row that failed. */
  failures: number;
  /** Waits in a row that ended early and without news. */
  earlyEnds: number;
  /** How long the server waits, in seconds, as known or at first hoped; 0 if it is asked each minute instead. */
  knownWait: number;
  /** The longest wait that works, in seconds; 0 if none does. */
  longest: number;
  /** Milliseconds since `longest` was shortened. */
  sinceCut: number;
}

/** The outcome of a poll. */
export interface TimedPoll {
  news?: "changed" | "unchanged" | undefined;
  /** True if the answer has a new acceptance of removals. The server sends it at once, even without news for this node. */
  acceptedAnew?: boolean | undefined;
  /** True if the server did not answer. */
  unreachable?: boolean | undefined;
  /** How long the server asks to wait, in milliseconds. */
  retryAfter?: number | undefined;
  /** Milliseconds from the question until its answer was applied, by the monotonic clock. */
  took: number;
}

/** The server's own limit, in seconds. */
const LONGEST_WAIT = 55;
/** Shorter waits than this, in seconds, are not worth their requests. */
const SHORTEST_WAIT = 5;
/** Between polls of a server that does not wait, in ms like the times below. */
export const INTERVAL = 60_000;
/** Below the 5 minutes after which the server calls a node stale. */
const LONGEST_BACK_OFF = 240_000;
const LONGEST_RETRY_AFTER = 3_600_000;
/** An answer without news within this time means that an older server, or a proxy, does not wait. */
const AT_ONCE = 1000;
/** A second before its end a wait counts as whole. */
const NEARLY = 1000;
/** After news, so that a thousand nodes do not ask again together. */
const PAUSE = 100;
/** The nodes come back to a restarted server within this time: ten thousand nodes are two a millisecond. */
const RETURN = 5000;
/** Part of RETURN that all nodes leave to the server for its start. */
const LEAST = 0.1;
/** Part of an interval, so that nodes that started together do not poll together. */
const JITTER = 0.1;
/** Time after which a full wait is tried again. */
const TRY_LONG_AGAIN = 3_600_000;

/** The first question asks for an answer at once. */
export const FIRST: Schedule = {
  pause: 0,
  wait: 0,
  failures: 0,
  earlyEnds: 0,
  knownWait: LONGEST_WAIT,
  longest: LONGEST_WAIT,
  sinceCut: 0,
};

/**
 * Decides when to ask again, and how long the server may wait with that answer.
 *
 * A server that stops ends the waits; a killed server, or a proxy with a shorter limit (usually 504 after 30 seconds),
 * cuts them off. After one such end the node asks again within seconds, and it is no failure. Two in a row mean a proxy:
 * the node then asks for shorter waits, or none, and for full ones again after an hour. Two waits in a row that end at
 * once mean a server that does not wait: the node then asks each minute. News during a wait, or a whole wait, ends such
 * a row. While the server cannot be reached, the next attempt comes at random within 5, 10, 20 … 240 seconds, so that
 * the nodes come back spread over the seconds after a restart. Other failures last longer: the node tries again after
 * 1, 2, then 4 minutes.
 *
 * @param random from 0 up to 1
 */
export function nextSchedule(before: Schedule, timed: TimedPoll, random: number): Schedule {
  const { news, unreachable = false, retryAfter, took } = timed;
  const { wait } = before;
  const schedule = { ...before, sinceCut: before.sinceCut + before.pause + took };

  if (news === undefined) {
    const cut = unreachable && wait > 0 && took >= AT_ONCE;
    if (!cut) {
      schedule.failures += 1;
      schedule.wait = 0;
      schedule.pause = pauseAfterFailure(schedule.failures, unreachable, retryAfter, random);
      return schedule;
    }
    // The cut-off does not tell whether there is news.
    schedule.wait = 0;
    schedule.pause = pauseAfterFailure(1, unreachable, retryAfter, random);
    // Only a server that stops says when to come back.
    if (retryAfter !== undefined) return schedule;
    schedule.earlyEnds += 1;
    if (schedule.earlyEnds > 1) {
      schedule.longest = shorter(wait, took);
      schedule.knownWait = schedule.longest;
      schedule.sinceCut = 0;
    }
    return schedule;
  }

  schedule.failures = 0;
  if (schedule.longest < LONGEST_WAIT && schedule.sinceCut >= TRY_LONG_AGAIN)
    return { ...schedule, longest: LONGEST_WAIT, wait: LONGEST_WAIT, earlyEnds: 1, pause: 0 };
  schedule.wait = schedule.longest;
  if (news === "changed") {
    if (wait > 0) schedule.earlyEnds = 0;
    // Sooner news does not prove that the server waits: it may have come at once, and the update took the time.
    if (schedule.knownWait === 0 && wait > 0 && took >= SHORTEST_WAIT * 1000) schedule.knownWait = wait;
    return { ...schedule, pause: PAUSE * random };
  }
  if (wait === 0) return { ...schedule, pause: schedule.longest > 0 ? 0 : aboutInterval(random) };
  if (took >= wait * 1000 - NEARLY) return { ...schedule, earlyEnds: 0, knownWait: wait, pause: 0 };
  if (timed.acceptedAnew === true) return { ...schedule, pause: within(RETURN, random) };
  schedule.earlyEnds += 1;
  const again = schedule.earlyEnds > 1 && took < AT_ONCE;
  if (!again) return { ...schedule, pause: within(RETURN, random) };
  return { ...schedule, knownWait: 0, pause: aboutInterval(random) };
}

/** @param took duration of the wait that was cut off, in milliseconds */
function shorter(wait: number, took: number): number {
  const seconds = Math.floor(Math.min((took / 1000) * 0.8, wait / 2));
  return seconds < SHORTEST_WAIT ? 0 : seconds;
}

function pauseAfterFailure(
  failures: number,
  unreachable: boolean,
  retryAfter: number | undefined,
  random: number,
): number {
  if (retryAfter !== undefined) {
    const asked = Math.min(Math.max(retryAfter, 1000), LONGEST_RETRY_AFTER);
    return asked + Math.max(RETURN / 2, JITTER * asked) * random;
  }
  if (unreachable) return within(Math.min(RETURN * 2 ** (failures - 1), LONGEST_BACK_OFF), random);
  return Math.min(INTERVAL * 2 ** (failures - 1), LONGEST_BACK_OFF) * (1 - JITTER + 2 * JITTER * random);
}

/** A random time of at most `time`, and not at once. */
function within(time: number, random: number): number {
  return time * (LEAST + (1 - LEAST) * random);
}

function aboutInterval(random: number): number {
  return INTERVAL * (1 - JITTER + 2 * JITTER * random);
}
