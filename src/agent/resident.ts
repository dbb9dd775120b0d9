import { openClient } from "./client.ts";
import type { Config } from "./config.ts";
import { type ExitCode, exitCodes } from "./faults.ts";
import type { Host } from "./host.ts";
import { pollOnce } from "./poll.ts";
import { findCommands, makeOutDirectory, readAuthorities, readKey } from "./preparation.ts";

export const INTERVAL = 60_000;
/** Below the 5 minutes after which the server calls a node stale. */
const LONGEST_BACK_OFF = 240_000;
const LONGEST_RETRY_AFTER = 3_600_000;
/** For how long the server may keep its answer, in seconds. */
const WAIT = 55;
/** An answer without news sooner than that was not kept: by an older server, or a proxy on the way. */
const AT_ONCE = 1000;
/** After news, so that a thousand nodes do not ask again together. */
const PAUSE = 100;
/** Of a wait, so that nodes that were started together do not poll together. */
const JITTER = 0.1;

/**
 * Asks, and lets the server keep its answer until there is news, until `signal` is aborted; an update in progress is finished first. Faults are logged and tried again:
 * only a configuration that cannot work ends it, and only at the start.
 */
export async function runResident(
  host: Host,
  config: Config,
  version: string,
  signal: AbortSignal,
): Promise<ExitCode> {
  await readKey(host, config.keyFile);
  const ca = await readAuthorities(host, config.caFile);
  await findCommands(host, config);
  await makeOutDirectory(host, config.out);

  host.log(`m25-mail-node ${version} keeps ${config.out} in step with ${config.server.href}`);
  const client = openClient({ server: config.server, ca, version, signal });
  try {
    let failures = 0;
    let greet = true;
    let first = true;
    while (!signal.aborted) {
      // After a fault it must be known soon whether that is over.
      const wait = first || failures > 0 ? 0 : WAIT;
      const asked = host.clock.now();
      const result = await pollOnce(config, { host, version, signal, client, greet, quiet: true, wait });
      if (result.reported) greet = false;
      failures = result.news === undefined ? failures + 1 : 0;
      first = false;
      if (signal.aborted) break;
      const kept = wait > 0 && host.clock.now() - asked >= AT_ONCE;
      const pause =
        result.news === undefined || (result.news === "unchanged" && wait > 0 && !kept)
          ? nextWait(failures, result.retryAfter, host.random())
          : nextPause(result.news, host.random());
      await host.clock.sleep(pause, signal);
    }
    return exitCodes.done;
  } finally {
    client.close();
  }
}

/** Milliseconds until the server is asked to wait again. @param random from 0 up to 1 */
export function nextPause(news: "changed" | "unchanged", random: number): number {
  return news === "changed" ? PAUSE * random : 0;
}

/** Milliseconds until the next poll where the server does not wait. @param random from 0 up to 1 */
export function nextWait(failures: number, retryAfter: number | undefined, random: number): number {
  if (retryAfter !== undefined) {
    return Math.min(Math.max(retryAfter, 1000), LONGEST_RETRY_AFTER) * (1 + JITTER * random);
  }
  const wait = Math.min(INTERVAL * 2 ** Math.max(failures - 1, 0), LONGEST_BACK_OFF);
  return wait * (1 - JITTER + 2 * JITTER * random);
}
