import { ConfigurationError } from "../../machine/faults.ts";
import type { Machine } from "../../machine/machine.ts";
import { type ExitCode, exitCodes } from "../faults.ts";
import { aliasName } from "../replica/comparison.ts";
import { withState } from "./state.ts";

/**
 * Prints the served domains, aliases and mailboxes, one a line, sorted; never a hash.
 *
 * @throws ConfigurationError if there is no state
 */
export async function exportServed(machine: Machine, { out }: { out: string }): Promise<ExitCode> {
  return await withState(machine, out, "read", async ({ replica, meta }) => {
    if (meta === undefined) throw new ConfigurationError(`--out ${out} has no node's state`);
    await replica.db.run(
      `SELECT 'domain ' || key || CASE WHEN key <> name THEN ' is ' || name ELSE '' END
          || CASE listed WHEN 1 THEN '' ELSE ' (withheld)' END FROM state.domain ORDER BY name, key <> name;
        SELECT 'alias ' || ${aliasName("mailbox")} || ifnull(' to ' || replace(trim(leads, '[]'), '"', ''), '')
          || CASE WHEN withheld IS NULL THEN '' ELSE ' (withheld)' END
          FROM state.mailbox WHERE local >= '~' AND local < '~~' ORDER BY domain, local;
        SELECT 'user ' || local || '@' || domain || ifnull(' quota ' || quota_mb || ' MiB', '')
          || ifnull(' home ' || (SELECT mail_root FROM state.meta) || '/' || substr(id, 1, 2) || '/' || id, '')
          || CASE WHEN withheld IS NULL THEN ''
              WHEN password IS NULL THEN ' (withheld, without a login)' ELSE ' (withheld)' END
          FROM state.mailbox WHERE local < '~' ORDER BY domain, local;`,
      (lines) => machine.print(`${lines.join("\n")}\n`),
    );
    return exitCodes.done;
  });
}
