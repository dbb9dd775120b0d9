import { openClient } from "./client.ts";
import type { Config } from "./config.ts";
import { type ExitCode, exitCodes } from "./faults.ts";
import type { Host } from "./host.ts";
import { FIRST, nextPace } from "./pace.ts";
import { pollOnce } from "./poll.ts";
import { findCommands, makeOutDirectory, readAuthorities, readKey } from "./preparation.ts";

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
    let greet = true;
    let pace = FIRST;
    while (!signal.aborted) {
      const { wait } = pace;
      const asked = host.clock.monotonic();
      const result = await pollOnce(config, { host, version, signal, client, greet, quiet: true, wait });
      if (result.reported) greet = false;
      if (signal.aborted) break;
      const took = host.clock.monotonic() - asked;
      const next = nextPace(pace, { ...result, took }, host.random());
      if (next.longest < pace.longest) host.log(describe(wait, took, next.longest));
      pace = next;
      await host.clock.sleep(pace.pause, signal);
    }
    return exitCodes.done;
  } finally {
    client.close();
  }
}

function describe(wait: number, took: number, longest: number): string {
  const cut = `a wait for news of ${wait} s was cut off after ${Math.round(took / 1000)} s, by a proxy as it seems`;
  return longest > 0
    ? `${cut}: waits of ${longest} s are asked for`
    : `${cut}: the server is asked each minute`;
}
