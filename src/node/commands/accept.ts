import { ConfigurationError } from "../../machine/faults.ts";
import type { Machine } from "../../machine/machine.ts";
import type { StatusConfig } from "../config.ts";
import { type ExitCode, exitCodes } from "../faults.ts";
import { writeNotes } from "../replica/notes.ts";
import { count } from "../words.ts";
import { withState } from "./state.ts";

/** When an acceptance takes effect. A program that waits sees the note that is written. */
export const NEXT_POLL = "the next poll, which comes at once where the program runs";

/**
 * Accepts the removals that are withheld now, and no later ones. The next poll carries them out, with or without a server.
 *
 * @throws ConfigurationError if there is no state
 */
export async function acceptRemovals(machine: Machine, { out, json }: StatusConfig): Promise<ExitCode> {
  return await withState(machine, out, "write", async ({ replica, meta }) => {
    if (meta === undefined) throw new ConfigurationError(`--out ${out} has no node's state`);
    const { addresses: withheld, last } = replica.withheld;
    if (withheld === 0) {
      machine.print(json ? `${JSON.stringify({ accepted: 0 })}\n` : "nothing is withheld\n");
      return exitCodes.done;
    }
    await writeNotes(replica, { accepted: { history: meta.history, revision: last } });
    const words = `accepted: ${count(withheld, "address")} to be removed with ${NEXT_POLL}`;
    machine.print(`${json ? JSON.stringify({ accepted: withheld }) : words}\n`);
    return exitCodes.done;
  });
}
