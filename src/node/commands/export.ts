import { ConfigurationError } from "../../machine/faults.ts";
import type { Machine } from "../../machine/machine.ts";
import type { ExportConfig } from "../config.ts";
import { type ExitCode, exitCodes } from "../faults.ts";
import { aliasName } from "../replica/comparison.ts";
import { withState } from "./state.ts";

/** One line of --json. */
type Served =
  | { kind: "domain"; name: string; is: string | null; withheld: boolean }
  // to: null on an mx, which knows only whether an alias leads anywhere (live).
  | { kind: "alias"; name: string; to: string[] | null; live: boolean; withheld: boolean }
  | {
      kind: "user";
      name: string;
      quota_mb: number | null;
      home: string | null;
      login: boolean;
      withheld: boolean;
    };

const flag = (condition: string) => `json(iif(${condition}, 'true', 'false'))`;
const SERVED = `
  SELECT json_object('kind', 'domain', 'name', key, 'is', nullif(name, key), 'withheld', ${flag("listed <> 1")})
    FROM state.domain ORDER BY name, key <> name;
  SELECT json_object('kind', 'alias', 'name', ${aliasName("mailbox")},
      'to', json(iif(json_type(leads) = 'array', leads, 'null')), 'live', ${flag("leads NOT IN ('[]', 'false')")},
      'withheld', ${flag("withheld IS NOT NULL")})
    FROM state.mailbox WHERE local >= '~' AND local < '~~' ORDER BY domain, local;
  SELECT json_object('kind', 'user', 'name', local || '@' || domain, 'quota_mb', quota_mb,
      'home', (SELECT mail_root FROM state.meta) || '/' || substr(id, 1, 2) || '/' || id,
      'login', ${flag("password IS NOT NULL")}, 'withheld', ${flag("withheld IS NOT NULL")})
    FROM state.mailbox WHERE local < '~' ORDER BY domain, local;`;

/**
 * Prints the served domains, aliases and mailboxes, one a line, sorted; never a hash.
 *
 * @throws ConfigurationError if there is no state
 */
export async function exportServed(machine: Machine, { out, json }: ExportConfig): Promise<ExitCode> {
  return await withState(machine, out, "read", async ({ replica, meta }) => {
    if (meta === undefined) throw new ConfigurationError(`--out ${out} has no node's state`);
    await replica.db.run(SERVED, (lines) => {
      const shown = json ? lines : lines.map((line) => inWords(JSON.parse(line)));
      machine.print(`${shown.join("\n")}\n`);
    });
    return exitCodes.done;
  });
}

function inWords(served: Served): string {
  const { kind, name, withheld } = served;
  const words = [kind, name];
  switch (kind) {
    case "domain":
      if (served.is !== null) words.push("is", served.is);
      break;
    case "alias":
      words.push(served.live ? `to ${served.to?.join() ?? "the mailbox nodes"}` : "without targets");
      break;
    case "user":
      if (served.quota_mb !== null) words.push("quota", String(served.quota_mb), "MiB");
      if (served.home !== null) words.push("home", served.home);
  }
  if (withheld) words.push(kind === "user" && !served.login ? "(withheld, without a login)" : "(withheld)");
  return words.join(" ");
}
