import type { Runtime } from "../../../tools/call/call.ts";
import { operatorTools } from "../../../tools/operator/index.ts";
import { UsageError } from "../../command-line/usage-error.ts";
import { printable } from "../../log/printable.ts";
import { parseArguments } from "./arguments.ts";
import { exitCodes } from "./exit.ts";
import { writeOut } from "./output.ts";
import { resultOf } from "./run-tool.ts";
import type { StoreCommand } from "./store-command.ts";
import type { Usage } from "./usage.ts";

const PAGE = 500;
const UNITS: Readonly<Record<string, number>> = { m: 60_000, h: 3_600_000, d: 86_400_000 };

interface Entry {
  at: string;
  principal: string;
  door: string;
  client: string | null;
  address: string | null;
  request: string | null;
  tool: string;
  arguments: Record<string, unknown>;
  outcome: string;
  revision: number;
}

/**
 * Prints the whole audit log, one entry a line.
 *
 * @throws UsageError
 */
export function auditCommand(usage: Usage, argv: readonly string[]): StoreCommand {
  const { values } = parseArguments(usage, argv);
  const { since, principal } = values;
  const line = values.json === true ? (entry: Entry) => printable(JSON.stringify(entry)) : readable;
  return {
    values,
    async run(runtime) {
      const filter = {
        ...(since !== undefined && { since: timeOf(String(since), runtime.now()) }),
        ...(principal !== undefined && { principal }),
      };
      for await (const page of pages(runtime, filter, line)) await writeOut(page);
      return exitCodes.done;
    },
  };
}

/** @throws MailError a refusal of read-audit */
async function* pages(runtime: Runtime, filter: Record<string, unknown>, line: (entry: Entry) => string) {
  let cursor: unknown;
  let found = false;
  do {
    const input = { ...filter, limit: PAGE, ...(typeof cursor === "string" && { cursor }) };
    const result = await resultOf(runtime, operatorTools.readAudit, input);
    const entries = result.entries as Entry[];
    found ||= entries.length > 0;
    if (entries.length > 0) yield entries.map((entry) => `${line(entry)}\n`).join("");
    cursor = result.next_cursor;
  } while (cursor !== null);
  if (!found) process.stderr.write("no entries\n"); // stdout is for programs
}

function readable(entry: Entry): string {
  const by = [entry.door, entry.client, entry.address].filter((part) => part !== null).join(", ");
  const parts = [
    entry.at,
    `${entry.principal} (${by})`,
    entry.tool,
    entry.outcome,
    `revision ${entry.revision}`,
    ...(entry.request === null ? [] : [`request ${entry.request}`]),
  ];
  return printable([...parts, JSON.stringify(entry.arguments)].join("  "));
}

/** A time, a date, or how long ago, as RFC 3339 UTC. */
function timeOf(text: string, now: Date): string {
  const [, count, unit = ""] = /^(\d{1,5})([mhd])$/.exec(text) ?? [];
  const unitMs = UNITS[unit];
  if (unitMs !== undefined) return new Date(now.getTime() - Number(count) * unitMs).toISOString();
  if (
    /^\d{4}-\d\d-\d\d(T\d\d:\d\d(:\d\d(\.\d+)?)?(Z|[+-]\d\d:\d\d))?$/.test(text) &&
    !Number.isNaN(Date.parse(text))
  ) {
    return new Date(text).toISOString();
  }
  throw new UsageError(
    "--since takes a duration such as 90m, 24h or 7d, a date such as 2026-11-22, or a time such as 2026-11-22T10:00:00Z.",
  );
}
