/** The second bundle: setup and check, which `m25-mail-node` loads. */

import { thisHost } from "./machine/host.ts";
import { isGivenUp, thisMachine } from "./machine/machine.ts";
import type { SetupCommand } from "./node/config.ts";
import { type ExitCode, exitCodeOf, exitCodes, explain } from "./node/faults.ts";
import { checkNode } from "./node/setup/check.ts";
import { setUp } from "./node/setup/setup.ts";

/** Explains its own errors: the first bundle's classes are others. */
export async function run(command: SetupCommand, signal: AbortSignal): Promise<ExitCode> {
  try {
    if (command.name === "check") return await checkNode(thisHost, command.config);
    await setUp(thisHost, command.config, signal);
    return await checkNode(thisHost, { out: command.config.out, json: false });
  } catch (error) {
    if (!(await isGivenUp(thisMachine, signal))) {
      thisMachine.log(explain(error));
      return exitCodeOf(error);
    }
    thisMachine.log(`Given up. The next m25-mail-node ${command.name} goes on.`);
    return exitCodes.temporary;
  }
}
