import { nearest } from "../../command-line/nearest.ts";
import { UsageError } from "../../command-line/usage-error.ts";
import { usages, verbsOf } from "./usage.ts";

const names = usages.map(({ name }) => name);
const operations = usages.flatMap(({ runs }) => (runs === undefined ? [] : [String(runs)]));

/** The error for words that name no command, with the command that is most like them. */
export function unknownCommand([first = "", second = ""]: readonly string[]): UsageError {
  const verbs = verbsOf(first);
  if (first.startsWith("-")) {
    const near = nearest(first, ["--help", "--version"]);
    if (near === undefined)
      return new UsageError("Flags come after the command: m25-mail COMMAND --db FILE.");
    return new UsageError(`There is no flag ${first}: did you mean ${near}?`);
  }
  const list = `m25-mail ${first} needs one of: ${verbs.join(", ")}.`;
  const verb = second.startsWith("-") ? "" : second;
  if (verbs.length > 0 && verb === "") return new UsageError(list);
  const typed = `${first} ${verb}`.trim();
  const near = verbs.length > 0 ? verbLike(first, verb, verbs) : commandLike(first, typed);
  if (near !== undefined)
    return new UsageError(`There is no command ${typed}: did you mean m25-mail ${near}?`);
  return new UsageError(`There is no command ${typed}.${verbs.length > 0 ? ` ${list}` : ""}`);
}

function verbLike(first: string, second: string, verbs: readonly string[]): string | undefined {
  const near = nearest(second, verbs);
  return near === undefined ? undefined : `${first} ${near}`;
}

/** Judges both words, as in `usr list`; else the first alone, as in `bakup FILE` and for the name of an operation. */
function commandLike(first: string, typed: string): string | undefined {
  const near = nearest(typed, names) ?? nearest(first, names);
  const operation = nearest(first, operations);
  return near ?? usages.find(({ runs }) => runs === operation && operation !== undefined)?.name;
}
