import type { FlagValues } from "../../command-line/flags.ts";
import { printable } from "../../log/printable.ts";

/** Shows a result as JSON with --json, else for a person. */
export function presentation(values: FlagValues, shown = show): (result: Record<string, unknown>) => string {
  return values.json === true ? (result) => JSON.stringify(result) : shown;
}

/** A result for a person: `name: value` lines, and a table for each list. */
export function show(result: Record<string, unknown>): string {
  const lines: string[] = [];
  for (const [name, value] of Object.entries(result)) {
    if (isRows(value)) lines.push(...table(value, `no ${name}`));
    else if (value !== null) lines.push(`${name}: ${text(value, ", ")}`);
  }
  return lines.join("\n");
}

type Row = Record<string, unknown>;

function isRows(value: unknown): value is Row[] {
  return Array.isArray(value) && value.every((row) => typeof row === "object" && row !== null);
}

function table(rows: readonly Row[], empty: string): string[] {
  const names = Object.keys(rows[0] ?? {});
  if (names.length === 0) return [empty];
  const cells = [names, ...rows.map((row) => names.map((name) => text(row[name])))];
  const widths = names.map((_, column) => Math.max(...cells.map((line) => line[column]?.length ?? 0)));
  return cells.map((line) =>
    line
      .map((cell, column) => cell.padEnd(widths[column] ?? 0))
      .join("  ")
      .trimEnd(),
  );
}

function text(value: unknown, between = ","): string {
  if (value === null || value === undefined) return "-";
  if (Array.isArray(value)) return value.join(between);
  return printable(String(value)); // some names are chosen by other programs
}
