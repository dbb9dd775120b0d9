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
/** Of a wait, so that nodes that were started together do not poll together. */
const JITTER = 0.1;

/**
 * Polls until `signal` is aborted; an update in progress is finished first. Faults are logged and tried again:
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

  const client = openClient({ server: config.server, ca, version, signal });
  try {
    let failures = 0;
    let greet = true;
    while (!signal.aborted) {
      const result = await pollOnce(config, { host, version, signal, client, greet, quiet: true });
      if (result.reported) greet = false;
      failures = result.exitCode === exitCodes.done ? 0 : failures + 1;
      if (signal.aborted) break;
      await host.clock.sleep(nextWait(failures, result.retryAfter, host.random()), signal);
    }
    return exitCodes.done;
  } finally {
    client.close();
  }
}

/** Milliseconds until the next poll. @param random from 0 up to 1 */
export function nextWait(failures: number, retryAfter: number | undefined, random: number): number {
  if (retryAfter !== undefined) {
    return Math.min(Math.max(retryAfter, 1000), LONGEST_RETRY_AFTER) * (1 + JITTER * random);
  }
  const wait = Math.min(INTERVAL * 2 ** Math.max(failures - 1, 0), LONGEST_BACK_OFF);
  return wait * (1 - JITTER + 2 * JITTER * random);
}
