import { type ParseArgsConfig, parseArgs } from "node:util";
import { UsageError } from "../../program/config.ts";

/** The flags without a value that every command has which shows a result. */
export const SWITCHES = ["json"];

export type FlagValues = Record<string, string | boolean | undefined>;

export interface Arguments {
  values: FlagValues;
  positionals: string[];
}

/**
 * Reads one command's arguments.
 *
 * @param texts names of the flags that take a value
 * @param switches names of those that do not
 * @throws UsageError
 */
export function parseArguments(
  argv: readonly string[],
  texts: readonly string[],
  switches: readonly string[],
  positionalNames: readonly string[],
): Arguments {
  const options: ParseArgsConfig["options"] = {};
  for (const name of texts) options[name] = { type: "string" };
  for (const name of switches) options[name] = { type: "boolean" };
  const { values, positionals } = parse([...argv], options);
  if (positionals.length !== positionalNames.length) {
    const missing = positionalNames[positionals.length];
    throw new UsageError(missing === undefined ? "There are too many arguments." : `${missing} is missing.`);
  }
  return { values: values as FlagValues, positionals };
}

/** The value of a flag that takes one, where it was given. */
export function optionalText(value: string | boolean | undefined): string | undefined {
  return typeof value === "string" ? value : undefined;
}

function parse(args: string[], options: ParseArgsConfig["options"]) {
  // Never the parser's own words for a password: they repeat what was typed.
  if (args.some((arg) => /^--password(=|$)/.test(arg))) {
    throw new UsageError(
      "A password is never a flag, where other users and the shell's history see it. Type it when asked, pipe it in, or use --password-file FILE.",
    );
  }
  const parsed = attempt(() =>
    parseArgs({ args, options: options ?? {}, allowPositionals: true, strict: true, tokens: true }),
  );
  const given = parsed.tokens.flatMap((token) => (token.kind === "option" ? [token.name] : []));
  const again = given.find((name, index) => given.indexOf(name) < index);
  // The last would win, and nobody would know.
  if (again !== undefined) throw new UsageError(`--${again} is given more than once.`);
  return parsed;
}

function attempt<T>(parsing: () => T): T {
  try {
    return parsing();
  } catch (error) {
    // Its first sentence says what is wrong; the rest is advice that fits few of our commands.
    const [reason = ""] = error instanceof Error ? error.message.split(/\.\s/, 1) : [];
    throw new UsageError(`${reason}.`);
  }
}
