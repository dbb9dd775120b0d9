import { join } from "node:path";
import { openClient } from "./client.ts";
import type { Config } from "./config.ts";
import { type ExitCode, exitCodes } from "./faults.ts";
import { names } from "./folder.ts";
import type { Host, Lock } from "./host.ts";
import { FIRST, nextPace, type Pace, type Turn } from "./pace.ts";
import { pollOnce } from "./poll.ts";
import { findCommands, makeOutDirectory, readAuthorities, readKey } from "./preparation.ts";

/** Milliseconds. */
const LOCK_AGAIN = 2000;

/**
 * Asks, and lets the server keep its answer until there is news, until `signal` is aborted; an update in progress is
 * finished first. Faults are logged and tried again: only a configuration that cannot work ends it, and only at the start.
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
  const lock = await waitForLock(host, config.out, signal);
  if (lock === undefined) return exitCodes.done;

  host.log(`m25-mail-node ${version} keeps ${config.out} in step with ${config.server.href}`);
  const client = openClient({ server: config.server, ca, version, signal });
  try {
    let greet = true;
    let pace = FIRST;
    while (!signal.aborted) {
      const { wait } = pace;
      const asked = host.clock.monotonic();
      const result = await pollOnce(config, {
        host,
        version,
        signal,
        client,
        // Where somebody removed the folder, each poll makes it anew and takes it for itself.
        lock: (await lock.holds()) ? lock : undefined,
        greet,
        quiet: true,
        wait,
      });
      if (result.reported) greet = false;
      if (signal.aborted) break;
      const took = host.clock.monotonic() - asked;
      const next = nextPace(pace, { ...result, took }, host.random());
      if (next.kept !== pace.kept) host.log(describe(next.kept, pace, { ...result, took }));
      pace = next;
      await host.clock.sleep(pace.pause, signal);
    }
    return exitCodes.done;
  } finally {
    client.close();
    await lock.release();
  }
}

/**
 * Takes the folder for as long as the program runs: two that took it in turns would each wait for the other.
 *
 * @returns undefined when `signal` is aborted before it is free
 */
async function waitForLock(host: Host, out: string, signal: AbortSignal): Promise<Lock | undefined> {
  let told = false;
  while (!signal.aborted) {
    const lock = await host.lock(join(out, names.lock));
    if (lock !== undefined) {
      if (told) host.log(`the other m25-mail-node has let go of ${out}: this one goes on`);
      return lock;
    }
    if (!told) host.log(`another m25-mail-node is at work on ${out}: this one waits until it ends`);
    told = true;
    await host.clock.sleep(LOCK_AGAIN, signal);
  }
  return undefined;
}

/** Why the server is asked in another way from now on. */
function describe(kept: number, before: Pace, { news, took }: Turn): string {
  if (kept > before.kept)
    return `the server waits for news again, for up to ${kept} s: a change arrives at once`;
  const why =
    news === undefined
      ? `a wait for news of ${before.wait} s was cut off after ${Math.round(took / 1000)} s, by a proxy as it seems`
      : "the server, or a proxy for it, says at once that there is no news instead of waiting for some";
  return kept > 0 ? `${why}: waits of ${kept} s are asked for` : `${why}: it is asked each minute`;
}
