import { type Endpoint, plainly, type Reference, type Text, toOperator, worded } from "../../mail/text.ts";
import { callOf, usages } from "./usage.ts";

/**
 * Words a text for the shell, with its commands: m25-mail call list-users --domain example.nl.
 *
 * @param fields the names of fields, if they differ from the flag of the same name
 */
export function atTheShell(said: Text, fields: Readonly<Record<string, string>> = {}): string {
  return worded(toOperator(said), (reference) => name(reference, fields));
}

function name(reference: Reference, fields: Readonly<Record<string, string>>): string {
  if ("field" in reference) return fields[reference.field] ?? `--${flagName(reference.field)}`;
  if ("line" in reference) return `\n\n${reference.line}`;
  if (!("next" in reference)) return plainly(reference);
  if (reference.next === "list-nodes") return "m25-mail node list"; // shows more than the operation
  const given = { ...reference.arguments };
  const words = commandOf(reference.next).map((word) => {
    const field = word.toLowerCase();
    const value = word === field ? undefined : given[field];
    delete given[field];
    return value ?? word;
  });
  const flags = Object.entries(given).map(([field, value]) => ` --${flagName(field)} ${value}`);
  return `m25-mail ${words.join(" ")}${flags.join("")}`;
}

/** The words of the command that runs an operation; its arguments have the names of the first fields, in capitals. */
function commandOf(endpoint: Endpoint): string[] {
  const usage = usages.find(({ runs }) => runs === endpoint);
  return usage === undefined ? ["call", endpoint] : callOf(usage).split(" ");
}

/** A field's name as a flag. */
export function flagName(field: string): string {
  return field.replaceAll("_", "-");
}
