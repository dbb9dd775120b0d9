import { plainly, type Reference, type Text, toOperator, worded } from "../../mail/text.ts";

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
  const given = Object.entries(reference.arguments ?? {}).map(
    ([field, value]) => ` --${flagName(field)} ${value}`,
  );
  return `m25-mail call ${reference.next}${given.join("")}`;
}

/** A field's name as a flag. */
export function flagName(field: string): string {
  return field.replaceAll("_", "-");
}
