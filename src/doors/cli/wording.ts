import { withTools } from "../wording.ts";

/**
 * What a tool says to every caller, as the command line calls things: m25_mail_add_user is `m25-mail call add-user`
 * here, and quota_mb --quota-mb. A field is known by what stands around it, for some are words of the language too.
 *
 * @param words what each field is called
 */
export function atTheShell(text: string, words: Readonly<Record<string, string>> = {}): string {
  const wordFor = (field: string) => words[field] ?? field;
  return withTools(
    text,
    (endpoint, field, value) =>
      `m25-mail call ${endpoint}${field === undefined ? "" : ` --${flagName(field)} ${value}`}`,
  )
    .replace(
      /(^|\. )([a-z_]+)(?=(?:, number \d+)?: )/g,
      (_all, before: string, field: string) => before + wordFor(field),
    )
    .replace(
      /\bThe fields are: ([a-z_, ]+)\./g,
      (_all, fields: string) => `The arguments are: ${fields.split(", ").map(wordFor).join(", ")}.`,
    );
}

/** What a field is called as a flag. */
export function flagName(name: string): string {
  return name.replaceAll("_", "-");
}
