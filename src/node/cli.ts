import { UsageError } from "../command-line/usage-error.ts";
import { ConfigurationError, systemCode } from "../machine/faults.ts";
import type { Machine } from "../machine/machine.ts";
import { acceptRemovals } from "./commands/accept.ts";
import { dryRun } from "./commands/dry-run.ts";
import { exportServed } from "./commands/export.ts";
import { listOrphans } from "./commands/orphans.ts";
import { showStatus } from "./commands/status.ts";
import { type Command, isLoopback, readCommand, type SetupCommand } from "./config.ts";
import { type ExitCode, exitCodeOf, exitCodes, explain } from "./faults.ts";
import { commandHelp, completion, help } from "./help.ts";
import { pollOnce } from "./poll.ts";
import { runResident } from "./resident.ts";
import { joinServer, rotateKey } from "./server/key.ts";
import { version } from "./version.ts";

/** The whole program: from the words on its command line to its exit code. */
export async function main(
  argv: readonly string[],
  env: Readonly<Record<string, string | undefined>>,
  machine: Machine,
  signal: AbortSignal,
): Promise<ExitCode> {
  try {
    return await run(readCommand(argv, env), machine, signal);
  } catch (error) {
    machine.log(explain(error));
    if (error instanceof UsageError) machine.log("for usage: m25-mail-node --help");
    return exitCodeOf(error);
  }
}

async function run(command: Command, machine: Machine, signal: AbortSignal): Promise<ExitCode> {
  switch (command.name) {
    case "help":
      machine.print(command.about === undefined ? help : commandHelp(command.about));
      return exitCodes.done;
    case "version":
      machine.print(`m25-mail-node ${version}\n`);
      return exitCodes.done;
    case "completion":
      machine.print(completion);
      return exitCodes.done;
    case "accept":
      return await acceptRemovals(machine, command.config);
    case "status":
      return await showStatus(machine, command.config, version);
    case "export":
      return await exportServed(machine, command.config);
    case "orphans":
      return await listOrphans(machine, command.config);
    case "setup":
    case "check":
      return await (await loadSetup()).run(command, signal);
    case "join":
    case "rotate": {
      warnOfClearText(machine, command.config.server);
      await (command.name === "join" ? joinServer : rotateKey)(command.config, { machine, version, signal });
      return exitCodes.done;
    }
    default:
      return await pollServer(command, withTimes(machine), signal);
  }
}

interface SetupBundle {
  run(command: SetupCommand, signal: AbortSignal): Promise<ExitCode>;
}

/** The second bundle: a resident program does not need it. */
async function loadSetup(): Promise<SetupBundle> {
  const place = new URL("./m25-mail-node-setup.mjs", import.meta.url);
  try {
    return await import(place.href);
  } catch (error) {
    if (systemCode(error) !== "ERR_MODULE_NOT_FOUND") throw error;
    throw new ConfigurationError(`${place.pathname} is missing: install the Debian package m25-mail-node`);
  }
}

async function pollServer(
  { name, config }: Extract<Command, { name: "once" | "run" }>,
  machine: Machine,
  signal: AbortSignal,
): Promise<ExitCode> {
  warnOfClearText(machine, config.server);
  if (config.dryRun === true) return await dryRun(machine, config, { version, signal });
  if (name === "run") return await runResident(machine, config, version, signal);
  return (await pollOnce(machine, config, { version, signal })).exitCode;
}

function warnOfClearText(machine: Machine, server: URL): void {
  if (server.protocol === "http:" && !isLoopback(server.hostname))
    machine.log("warning: --insecure-http: only an encrypted link protects the key and the hashes");
}

/** Adds the time to the lines of a polling program, as in the server's log. Other commands answer a person. */
function withTimes(machine: Machine): Machine {
  if (machine.journal) return machine;
  const log = (line: string): void => machine.log(`${new Date(machine.clock.now()).toISOString()} ${line}`);
  return { ...machine, log };
}
