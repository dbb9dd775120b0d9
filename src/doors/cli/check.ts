import type { Tool } from "../../../tools/call/tool.ts";
import type { DnsRecord } from "../../dns/record.ts";
import { show } from "./show.ts";
import type { StoreCommand } from "./store-command.ts";
import { toolCommand } from "./tool-command.ts";
import { toolNamed } from "./tool-usage.ts";
import type { Usage } from "./usage.ts";

/** `m25-mail check DOMAIN`: check-domain for a person. */
export async function checkCommand(usage: Usage, argv: readonly string[]): Promise<StoreCommand> {
  const tool = (await toolNamed("check-domain")) as Tool;
  return toolCommand(tool, { shown: showCheck })(usage, argv);
}

/** Says what happens after `m25-mail dkim rotate`. */
export function showRotation(result: Record<string, unknown>): string {
  const { domain, asked, keep_old_record_days: days } = result;
  return `Within ten minutes ${asked === 1 ? "a node makes" : `${asked} nodes make`} another key for ${domain}.
m25-mail check ${domain} then shows its record. The old key signs until the new record is in DNS.
Keep the old record for ${days} days after that.`;
}

/** Shows a check of DNS to a person: a table, what is wrong below it, and the lines for the zone. */
function showCheck(result: Record<string, unknown>): string {
  const { domain, ready, records, zone } = result as {
    domain: string;
    ready: boolean;
    records: DnsRecord[];
    zone: string;
  };
  const rows = records.map(({ state, optional, type, name, found }) => ({
    state: optional && state !== "ok" ? `${state} (optional)` : state,
    type,
    name,
    found,
  }));
  const remarks = records
    .filter(({ optional, state, why }) => why !== null && !(optional && state === "missing"))
    .map(({ type, name, why }) => `${type} ${name}: ${why}`);
  const lines = zone === "" ? [] : ["", "For the zone:", zone];
  const summary = ready ? `${domain} is ready` : `${domain} is not ready`;
  return [show({ records: rows }), "", ...remarks, ...lines, "", summary].join("\n");
}
