/**
 * What a tool says to every caller, in which tools have their MCP names, with other names for them: of
 * m25_mail_list_users (domain: example.nl) the endpoint is list-users, the field domain.
 */
export function withTools(
  text: string,
  nameOf: (endpoint: string, field: string | undefined, value: string | undefined) => string,
): string {
  return text.replace(
    /\bm25_mail_([a-z_]+)(?: \(([a-z_]+): ([^)\s]+)\))?/g,
    (_all, name: string, field?: string, value?: string) => nameOf(name.replaceAll("_", "-"), field, value),
  );
}
