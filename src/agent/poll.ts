import { join } from "node:path";
import type { MailState } from "../sync/answer.ts";
import { RefusedAnswer } from "../sync/reader.ts";
import type { ReportReason } from "../sync/report.ts";
import { applyUpdate, type Workplace } from "./apply.ts";
import { type Client, type Limits, openClient } from "./client.ts";
import type { Config } from "./config.ts";
import { dryRun } from "./dry-run.ts";
import { type ExitCode, exitCodeOf, exitCodes, explain, failureReason, TemporaryFailure } from "./faults.ts";
import type { Host } from "./host.ts";
import { summarize } from "./plan.ts";
import { findCommands, makeOutDirectory, readAuthorities, readKey } from "./preparation.ts";
import { repair, type Start } from "./repair.ts";
import { buildReport, reportIsDue, sendReport } from "./reporting.ts";
import { inspect, isState, type NodeState, names } from "./state.ts";
import { thisMachine } from "./this-machine.ts";
import { version as thisVersion } from "./version.ts";

/** What a caller may put in the place of this machine, and what a resident program keeps between polls. */
export interface Dependencies {
  host: Host;
  version: string;
  limits: Partial<Limits>;
  /** Aborted when the program is told to stop: a request ends at once, an update is finished first. */
  signal: AbortSignal | undefined;
  /** Keeps its connection; without it the poll opens one of its own. */
  client: Client | undefined;
  /** Report even where nothing has changed and the server was told before. */
  greet: boolean;
  /** Do not log that nothing has changed. */
  quiet: boolean;
}

export interface PollResult {
  exitCode: ExitCode;
  /** True when the server has taken a report of this poll. */
  reported: boolean;
  /** How long the server asks to wait, in milliseconds. */
  retryAfter?: number | undefined;
}

/**
 * One poll: repairs what an earlier run left or somebody damaged, asks the server, applies what is new,
 * and reports. Throws nothing: a fault is logged in one line and becomes an exit code.
 */
export async function pollOnce(config: Config, given: Partial<Dependencies> = {}): Promise<PollResult> {
  const settings: Dependencies = {
    host: thisMachine,
    version: thisVersion,
    limits: {},
    signal: undefined,
    client: undefined,
    greet: false,
    quiet: false,
    ...given,
  };
  const { host, version, limits, signal } = settings;
  let client = settings.client;
  try {
    const key = await readKey(host, config.keyFile);
    const ca = await readAuthorities(host, config.caFile);
    client ??= openClient({ server: config.server, ca, version, limits, signal });
    if (config.dryRun === true) {
      await dryRun(host, config, client, key);
      return { exitCode: exitCodes.done, reported: false };
    }
    const commands = await findCommands(host, config);
    await makeOutDirectory(host, config.out);
    const lock = await host.lock(join(config.out, names.lock));
    if (lock === undefined) throw new TemporaryFailure(`another run is at work on ${config.out}`);
    try {
      return await pollLocked({ host, config, commands, lock }, settings, client, key);
    } finally {
      await lock.release();
    }
  } catch (error) {
    host.log(explain(error));
    const retryAfter = error instanceof TemporaryFailure ? error.retryAfter : undefined;
    return { exitCode: exitCodeOf(error), reported: false, retryAfter };
  } finally {
    if (settings.client === undefined) client?.close();
  }
}

async function pollLocked(
  place: Workplace,
  { version, greet, quiet }: Dependencies,
  client: Client,
  key: string,
): Promise<PollResult> {
  const { host, config } = place;
  const report = async (
    state: NodeState | undefined,
    ...[status, reason]: ["applied"] | ["refused" | "failed", ReportReason]
  ): Promise<boolean> => {
    const outcome = status === "applied" ? { status } : { status, reason: reason as ReportReason };
    const message = buildReport(state?.applied, outcome, version);
    return await sendReport({ host, out: config.out, client, key }, message, state);
  };

  const { files, identity } = host;
  const situation = await inspect(config.out, { files, identity, mailRoot: config.mailRoot });
  const leftovers = situation.leftovers.map((name) => join(config.out, name));
  for (const path of leftovers) await files.remove(path);

  const start = await repair(place, situation);
  let target: MailState | undefined;
  try {
    target = await client.fetchMaps(key, start.tag);
  } catch (error) {
    if (error instanceof RefusedAnswer) {
      host.log(`the server's answer is refused, the old state stays in service: ${error.message}`);
      return { exitCode: exitCodes.refused, reported: await report(start.recorded, "refused", error.reason) };
    }
    if (start.fault === undefined) throw error;
    host.log(explain(error));
    throw start.fault;
  }

  if (target === undefined) {
    const { fault, recorded } = start;
    if (fault !== undefined) {
      const reported = await report(recorded, "failed", failureReason(fault));
      return { exitCode: exitCodeOf(fault), reported };
    }
    if (recorded === undefined) throw new Error("304 without a state");
    if (!quiet) host.log(`nothing has changed since revision ${recorded.applied.revision}`);
    const due = greet || reportIsDue(recorded, host.clock.now());
    return { exitCode: exitCodes.done, reported: due && (await report(recorded, "applied")) };
  }

  let state: NodeState;
  try {
    state = await applyAnswer(place, start, target);
  } catch (fault) {
    host.log(explain(fault));
    const reported = await report(start.recorded, "failed", failureReason(fault));
    return { exitCode: exitCodeOf(fault), reported };
  }
  return { exitCode: exitCodes.done, reported: await report(state, "applied") };
}

async function applyAnswer(place: Workplace, start: Start, target: MailState): Promise<NodeState> {
  const { host, config } = place;
  const { files, identity } = host;
  let before = await start.before();
  const { recorded } = start;
  // Only the copy that the files are made from was lost: they themselves are this state's.
  if (before.length === 0 && recorded !== undefined && isState(recorded.applied, target)) before = [target];
  const found = await inspect(config.out, {
    files,
    identity,
    mailRoot: config.mailRoot,
  });
  const { plan, state } = await applyUpdate(place, { before, target, stored: undefined, found });
  const { domains, users } = state.applied.counts;
  host.log(`applied revision ${target.revision}: ${summarize(plan)}; domains: ${domains}, users: ${users}`);
  return state;
}
