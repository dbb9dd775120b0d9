import { mcpName } from "../../../tools/call/tool.ts";
import { plainly, type Reference, type Text, worded } from "../../mail/text.ts";

/** Words a text for MCP, with its tools' names: m25_mail_list_users (domain: example.nl). */
export function overMcp(said: Text): string {
  return worded(said, name);
}

function name(reference: Reference): string {
  if (!("next" in reference)) return plainly(reference);
  const given = Object.entries(reference.arguments ?? {}).map(([field, value]) => `${field}: ${value}`);
  return `${mcpName({ endpoint: reference.next })}${given.length === 0 ? "" : ` (${given.join(", ")})`}`;
}
