import type { FlagValues } from "../../command-line/flags.ts";
import { relative, styled, type Terminal, terminalOf } from "../../command-line/terminal.ts";
import { printable } from "../../log/printable.ts";

/** Shows a result as JSON with --json, else for a person. */
export function presentation(
  values: FlagValues,
  shown: (result: Record<string, unknown>) => string = show,
): (result: Record<string, unknown>) => string {
  return values.json === true ? (result) => JSON.stringify(result) : shown;
}

/**
 * A result for a person: `name: value` lines, and a table for each list. At a terminal, times are relative, states have colours,
 * and a table that is too wide becomes a block of lines for each row.
 */
export function show(result: Record<string, unknown>, terminal = terminalOf(process.stdout)): string {
  const lines: string[] = [];
  for (const [name, value] of Object.entries(result)) {
    if (isRows(value)) lines.push(...table(value, `no ${name}`, terminal));
    else if (value !== null) lines.push(`${name}: ${withAge(text(value, ", "), terminal)}`);
  }
  return lines.join("\n");
}

type Row = Record<string, unknown>;

function isRows(value: unknown): value is Row[] {
  return Array.isArray(value) && value.every((row) => typeof row === "object" && row !== null);
}

const GAP = 2;

function table(rows: readonly Row[], empty: string, terminal: Terminal | undefined): string[] {
  const names = Object.keys(rows[0] ?? {});
  if (names.length === 0) return [empty];
  const cells = rows.map((row) => names.map((name) => age(text(row[name]), terminal)));
  const widths = names.map((name, column) =>
    Math.max(name.length, ...cells.map((line) => line[column]?.length ?? 0)),
  );
  const width = widths.reduce((sum, one) => sum + one + GAP, -GAP);
  if (terminal !== undefined && width > terminal.columns) return blocks(names, cells, terminal);
  const line = (words: readonly string[], style: (word: string, column: number) => string) =>
    words
      .map((word, column) => style(word, column) + " ".repeat((widths[column] ?? 0) + GAP - word.length))
      .join("")
      .trimEnd();
  return [
    line(names, (name) => styled(name, "bold", terminal)),
    ...cells.map((row) => line(row, (cell, column) => inColour(names[column], cell, terminal))),
  ];
}

function blocks(names: readonly string[], rows: readonly string[][], terminal: Terminal): string[] {
  const width = Math.max(...names.map((name) => name.length)) + GAP;
  return rows.flatMap((row, index) => [
    ...(index === 0 ? [] : [""]),
    ...names.map((name, column) => {
      const cell = inColour(name, row[column] ?? "", terminal);
      return `${styled(name, "bold", terminal)}${" ".repeat(width - name.length)}${cell}`;
    }),
  ]);
}

const STATES: Readonly<Record<string, "green" | "yellow" | "red">> = {
  ok: "green",
  current: "green",
  on: "green",
  behind: "yellow",
  never: "yellow",
  unknown: "yellow",
  no_password: "yellow",
  off: "yellow",
  stale: "red",
  failing: "red",
  missing: "red",
  wrong: "red",
};

function inColour(name: string | undefined, cell: string, terminal: Terminal | undefined): string {
  const style = /^(status|state|login)$/.test(name ?? "") ? STATES[cell] : undefined;
  return style === undefined ? cell : styled(cell, style, terminal);
}

function age(value: string, terminal: Terminal | undefined): string {
  return terminal !== undefined && isTime(value) ? relative(value, Date.now()) : value;
}

function withAge(value: string, terminal: Terminal | undefined): string {
  return terminal !== undefined && isTime(value) ? `${value} (${relative(value, Date.now())})` : value;
}

/** True for RFC 3339 UTC, as results have it. */
function isTime(value: string): boolean {
  return /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z$/.test(value);
}

function text(value: unknown, between = ","): string {
  if (value === null || value === undefined) return "-";
  if (Array.isArray(value)) return value.join(between);
  return printable(String(value)); // some names are chosen by other programs
}
