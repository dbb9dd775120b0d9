import { plainly, type Reference, type Text, worded } from "../../mail/text.ts";

/**
 * Words a text for the shell, with its commands: m25-mail call list-users --domain example.nl.
 *
 * @param fields the names of fields, if they differ from the flag of the same name
 */
export function atTheShell(said: Text, fields: Readonly<Record<string, string>> = {}): string {
  return worded(said, (reference) => name(reference, fields));
}

function name(reference: Reference, fields: Readonly<Record<string, string>>): string {
  if ("field" in reference) return fields[reference.field] ?? `--${flagName(reference.field)}`;
  if (!("next" in reference)) return plainly(reference);
  const given = Object.entries(reference.arguments ?? {}).map(
    ([field, value]) => ` --${flagName(field)} ${value}`,
  );
  return `m25-mail call ${reference.next}${given.join("")}`;
}

/** A field's name as a flag. */
export function flagName(field: string): string {
  return field.replaceAll("_", "-");
}
