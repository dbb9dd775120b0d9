import { acceptRemovals } from "./acceptance.ts";
import { isLoopback, readCommand } from "./config.ts";
import { type ExitCode, exitCodeOf, exitCodes, explain, UsageError } from "./faults.ts";
import { commandHelp, help } from "./help.ts";
import type { Host } from "./host.ts";
import { joinServer, rotateKey } from "./join.ts";
import { pollOnce } from "./poll.ts";
import { runResident } from "./resident.ts";
import { showStatus } from "./show-status.ts";
import { version } from "./version.ts";

/** The whole program: from the words on its command line to its exit code. */
export async function main(
  argv: readonly string[],
  env: Readonly<Record<string, string | undefined>>,
  machine: Host,
  signal: AbortSignal,
): Promise<ExitCode> {
  let host = machine;
  try {
    const command = readCommand(argv, env);
    switch (command.name) {
      case "help":
        host.print(command.about === undefined ? help : commandHelp(command.about));
        return exitCodes.done;
      case "version":
        host.print(`m25-mail-node ${version}\n`);
        return exitCodes.done;
    }
    if (command.name === "accept") return await acceptRemovals(host, command.config);
    if (command.name === "status") return await showStatus(command.config, host, version);
    const { name, config } = command;
    if (name === "once" || name === "run") host = withTimes(host);
    if (config.server.protocol === "http:" && !isLoopback(config.server.hostname)) {
      host.log("warning: --insecure-http: the key and the hashes are only as safe as the link below");
    }
    if (name === "join" || name === "rotate") {
      await (name === "join" ? joinServer : rotateKey)(config, { host, version, signal });
      return exitCodes.done;
    }
    if (name === "run" && config.dryRun !== true) return await runResident(host, config, version, signal);
    return (await pollOnce(config, { host, version, signal })).exitCode;
  } catch (error) {
    host.log(explain(error));
    if (error instanceof UsageError) host.log("m25-mail-node --help says how it is used");
    return exitCodeOf(error);
  }
}

/** What polls is logged with the time, as the server's log is; the other commands answer the person who typed them. */
function withTimes(host: Host): Host {
  if (host.journal) return host;
  return { ...host, log: (line) => host.log(`${new Date(host.clock.now()).toISOString()} ${line}`) };
}
