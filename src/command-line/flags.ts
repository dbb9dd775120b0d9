import { type ParseArgsConfig, parseArgs } from "node:util";
import { nearest } from "./nearest.ts";
import { UsageError } from "./usage-error.ts";

/** A flag of a command. */
export interface Flag {
  /** The name of its value in the help; "" for a flag that is on or off. */
  placeholder: string;
  help: string;
}

export type Flags = Readonly<Record<string, Flag>>;

export type FlagValues = Record<string, string | boolean | undefined>;

export interface Arguments {
  values: FlagValues;
  positionals: string[];
}

/** The environment variable that stands for a flag: M25_MAIL_DB for --db. */
export function environmentName(flag: string): string {
  return `M25_MAIL_${flag.toUpperCase().replaceAll("-", "_")}`;
}

/** A flag as it is typed: --db FILE. */
export function flagUsage(name: string, { placeholder }: Flag): string {
  return `--${name} ${placeholder}`.trimEnd();
}

/** Lines of a help, with the columns below each other. */
export function inColumns(rows: ReadonlyArray<readonly string[]>): string[] {
  const widths = (rows[0] ?? []).map((_, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0)));
  return rows.map((row) =>
    `  ${row.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join("  ")}`.trimEnd(),
  );
}

/** @throws UsageError for an unknown flag, a missing value, and a flag that is given twice */
export function parseFlags(args: readonly string[], flags: Flags): Arguments {
  const types = Object.entries(flags).map(
    ([name, { placeholder }]) => [name, { type: placeholder === "" ? "boolean" : "string" }] as const,
  );
  const { values, positionals, tokens } = parse([...args], Object.fromEntries(types));
  const given = tokens.flatMap((token) => (token.kind === "option" ? [token.name] : []));
  const again = given.find((name, index) => given.indexOf(name) < index);
  // parseArgs would silently take the last.
  if (again !== undefined) throw new UsageError(`--${again} is given more than once.`);
  return { values: values as FlagValues, positionals };
}

function parse(args: string[], options: NonNullable<ParseArgsConfig["options"]>) {
  try {
    return parseArgs({ args, options, allowPositionals: true, strict: true, tokens: true });
  } catch (error) {
    refuseUnknown(args, options);
    // The first sentence names the error; the rest is advice that fits few of our commands.
    const [reason = ""] = error instanceof Error ? error.message.split(/\.\s/, 1) : [];
    throw new UsageError(`${reason}.`);
  }
}

function refuseUnknown(args: string[], options: NonNullable<ParseArgsConfig["options"]>): void {
  const { tokens } = parseArgs({ args, options, allowPositionals: true, strict: false, tokens: true });
  const unknown = tokens.find((token) => token.kind === "option" && !Object.hasOwn(options, token.name));
  if (unknown?.kind !== "option") return;
  const near = nearest(unknown.name, Object.keys(options));
  throw new UsageError(
    `There is no flag ${unknown.rawName}${near === undefined ? "." : `: did you mean --${near}?`}`,
  );
}
