/** How the resident program goes on from poll to poll. */
export interface Pace {
  /** Milliseconds until the next question. */
  pause: number;
  /** For how many seconds the server may keep its answer to it. */
  wait: number;
  /** Polls in a row that failed. */
  failures: number;
  /** Waits in a row that ended before their time, and without news. */
  unkept: number;
  /** How long the server is known, or at first hoped, to wait, in seconds; 0 where it is asked each minute instead. */
  kept: number;
  /** The longest wait that comes through, in seconds; 0 where none does. */
  longest: number;
  /** Milliseconds since `longest` was cut down. */
  sinceCut: number;
}

/** How a poll went. */
export interface Turn {
  news?: "changed" | "unchanged" | undefined;
  /** True when the answer says that removals were accepted: it is given at once, news for this node or not. */
  acceptedAnew?: boolean | undefined;
  /** Where there is no news: nobody answered for the server. */
  unreachable?: boolean | undefined;
  /** How long the server asks to wait, in milliseconds. */
  retryAfter?: number | undefined;
  /** Milliseconds from the question until its answer was applied, by a clock that nobody sets. */
  took: number;
}

/** The server's own limit, in seconds. */
const LONGEST_WAIT = 55;
/** Shorter waits than this, in seconds, are not worth their requests. */
const SHORTEST_WAIT = 5;
/** Between polls where the server does not wait. */
export const INTERVAL = 60_000;
/** Below the 5 minutes after which the server calls a node stale. */
const LONGEST_BACK_OFF = 240_000;
const LONGEST_RETRY_AFTER = 3_600_000;
/** An answer without news sooner than that was not kept: by an older server, or a proxy on the way. */
const AT_ONCE = 1000;
/** A second before its end a wait counts as whole. */
const NEARLY = 1000;
/** After news, so that a thousand nodes do not ask again together. */
const PAUSE = 100;
/** Over this time a fleet comes back to a server that was started anew: ten thousand nodes are two a millisecond. */
const RETURN = 5000;
/** Part of RETURN that everybody leaves to a server to start. */
const LEAST = 0.1;
/** Of an interval, so that nodes that were started together do not poll together. */
const JITTER = 0.1;
/** After so long a full wait is tried again. */
const TRY_LONG_AGAIN = 3_600_000;

/** The first question wants an answer at once. */
export const FIRST: Pace = {
  pause: 0,
  wait: 0,
  failures: 0,
  unkept: 0,
  kept: LONGEST_WAIT,
  longest: LONGEST_WAIT,
  sinceCut: 0,
};

/**
 * When to ask again, and how long the server may keep that answer.
 *
 * Whoever waits is let go by a server that stops, and cut off by one that is killed or by a proxy that allows less
 * (504 after 30 seconds, as a rule). One such end is asked after within seconds and is no failure; two in a row are
 * a proxy's doing: then shorter waits are asked for, or none, and full ones again after an hour. Two in a row that
 * end at once are those of a server that does not wait: then a minute passes between them. News in answer to a wait,
 * as much as a whole one, end such a row. While the server cannot be reached the next attempt comes after up to 5,
 * 10, 20 … 240 seconds, at random, so that a fleet is back within seconds of a restart and spread over them. What
 * fails otherwise is not soon over: after 1, 2, then 4 minutes.
 *
 * @param random from 0 up to 1
 */
export function nextPace(before: Pace, turn: Turn, random: number): Pace {
  const { news, unreachable = false, retryAfter, took } = turn;
  const { wait } = before;
  const pace = { ...before, sinceCut: before.sinceCut + before.pause + took };

  if (news === undefined) {
    const cut = unreachable && wait > 0 && took >= AT_ONCE;
    if (!cut) {
      pace.failures += 1;
      pace.wait = 0;
      pace.pause = pauseAfterFailure(pace.failures, unreachable, retryAfter, random);
      return pace;
    }
    // That it was cut off says nothing of what is new.
    pace.wait = 0;
    pace.pause = pauseAfterFailure(1, unreachable, retryAfter, random);
    // Who says when to come back is the server itself, which stops.
    if (retryAfter !== undefined) return pace;
    pace.unkept += 1;
    if (pace.unkept > 1) {
      pace.longest = shorter(wait, took);
      pace.kept = pace.longest;
      pace.sinceCut = 0;
    }
    return pace;
  }

  pace.failures = 0;
  if (pace.longest < LONGEST_WAIT && pace.sinceCut >= TRY_LONG_AGAIN)
    return { ...pace, longest: LONGEST_WAIT, wait: LONGEST_WAIT, unkept: 1, pause: 0 };
  pace.wait = pace.longest;
  if (news === "changed") {
    if (wait > 0) pace.unkept = 0;
    // Sooner than that it may have come at once, and have taken its time to be applied.
    if (pace.kept === 0 && wait > 0 && took >= SHORTEST_WAIT * 1000) pace.kept = wait;
    return { ...pace, pause: PAUSE * random };
  }
  if (wait === 0) return { ...pace, pause: pace.longest > 0 ? 0 : aboutInterval(random) };
  if (took >= wait * 1000 - NEARLY) return { ...pace, unkept: 0, kept: wait, pause: 0 };
  if (turn.acceptedAnew === true) return { ...pace, pause: within(RETURN, random) };
  pace.unkept += 1;
  const again = pace.unkept > 1 && took < AT_ONCE;
  if (!again) return { ...pace, pause: within(RETURN, random) };
  return { ...pace, kept: 0, pause: aboutInterval(random) };
}

/** @param took by the wait that was cut off, in milliseconds */
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

function within(time: number, random: number): number {
  return time * (LEAST + (1 - LEAST) * random);
}

function aboutInterval(random: number): number {
  return INTERVAL * (1 - JITTER + 2 * JITTER * random);
}
