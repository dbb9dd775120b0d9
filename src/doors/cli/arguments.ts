import { type Arguments, parseFlags } from "../../command-line/flags.ts";
import { UsageError } from "../../command-line/usage-error.ts";
import { settingsOf } from "../../program/settings.ts";
import { positionalNames, type Usage } from "./usage.ts";

/**
 * Reads the arguments of one command, which follow its name.
 *
 * @throws UsageError
 */
export function parseArguments(usage: Usage, argv: readonly string[]): Arguments {
  // Do not let the parser see a password: its message would repeat it.
  if (argv.some((arg) => /^--password(=|$)/.test(arg))) {
    throw new UsageError(
      "A password cannot be a flag: other users and the shell's history would see it. Type it when asked, pipe it in, or use --password-file FILE.",
    );
  }
  const parsed = parseFlags(argv, { ...settingsOf(usage.settings ?? "database"), ...usage.flags });
  const names = positionalNames(usage);
  const given = parsed.positionals.length;
  const needed = names.filter((name) => !name.startsWith("[")).length;
  if (given < needed || (given > names.length && !names.at(-1)?.endsWith("…"))) {
    const missing = names[given];
    throw new UsageError(missing === undefined ? "There are too many arguments." : `${missing} is missing.`);
  }
  return parsed;
}

/** The value of a flag that takes one, if it was given. */
export function optionalText(value: string | boolean | undefined): string | undefined {
  return typeof value === "string" ? value : undefined;
}
