import { join } from "node:path";
import { serviceSettings } from "../../command-line/environment-file.ts";
import type { FlagValues } from "../../command-line/flags.ts";
import { exitCodes } from "../../doors/cli/exit.ts";
import { OutputFailure, writeOut } from "../../doors/cli/output.ts";
import { setIn } from "../../machine/environment.ts";
import { ConfigurationError, plainWords, systemCode } from "../../machine/faults.ts";
import { readText } from "../../machine/files.ts";
import { type Host, thisHost } from "../../machine/host.ts";
import { isGivenUp } from "../../machine/machine.ts";
import { addressesOf, publicOf } from "../../machine/public-name.ts";
import { tableOf } from "../../machine/table.ts";
import { wishesOf } from "./answers.ts";
import { checkServer, healthOf } from "./check.ts";
import type { Answers } from "./configurations.ts";
import { showFirstToken, type WithDatabase } from "./content.ts";
import { findProgram, refuseHiddenFolder } from "./program.ts";
import { setUpServer } from "./setup.ts";

/** How long setup waits for Caddy's certificate. It comes within seconds, or the name does not lead here. */
const CERTIFICATE = 60_000;

/**
 * Sets the server up, and prints what works and how to go on.
 *
 * @returns the exit code
 * @throws UsageError, ConfigurationError, MailError, OutputFailure
 */
export async function runSetup(
  flags: FlagValues,
  withDatabase: WithDatabase,
  signal: AbortSignal,
): Promise<number> {
  const host = thisHost;
  try {
    const wishes = wishesOf(flags);
    if (!host.machine.root)
      throw new ConfigurationError("setup changes this machine's services: run it as root");
    const program = findProgram();
    refuseHiddenFolder(program);
    const given = { program, withDatabase };
    const { answers, own, publicUrl } = await setUpServer(host, wishes, given, signal);
    await untilCaddyAnswers(host, answers, signal);
    const rows = await checkServer(host, answers, own);
    await writeOut(tableOf(rows));
    const settings = await readText(serviceSettings.server);
    const folder = setIn(settings, "M25_MAIL_FOLDER") ?? "/var/lib/m25-mail";
    await showFirstToken(join(folder, "first-token"), publicUrl);
    return rows.some(({ state }) => state === "not_ok") ? exitCodes.refused : exitCodes.done;
  } catch (error) {
    if (await isGivenUp(host.machine, signal)) {
      host.machine.log("Given up. The next m25-mail setup goes on.");
      return exitCodes.temporary;
    }
    const isFileFault = systemCode(error)?.startsWith("E") && !(error instanceof OutputFailure);
    throw isFileFault ? new ConfigurationError(plainWords(error)) : error;
  }
}

/** Caddy gets its certificate once it runs. */
async function untilCaddyAnswers(
  host: Host,
  { hostName, proxy }: Answers,
  signal: AbortSignal,
): Promise<void> {
  if (proxy !== "caddy" || publicOf(await addressesOf(host.resolver, hostName)).length === 0) return;
  const { clock, log } = host.machine;
  log(`waiting for Caddy to answer at https://${hostName}`);
  const until = clock.monotonic() + CERTIFICATE;
  const answers = async () =>
    (await healthOf("127.0.0.1", { port: 443, tls: true }, hostName)).fault === undefined;
  while (!(await answers()) && clock.monotonic() < until && !signal.aborted) await clock.sleep(250, signal);
}
