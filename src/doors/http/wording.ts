import { readingTools } from "../../../tools/index.ts";
import { type Reference, type Text, worded } from "../../mail/text.ts";

/** A text in the requests of REST: GET /api/list-users?domain=example.nl. */
export function overRest(said: Text): string {
  return worded(said, name);
}

function name(reference: Reference): string {
  if ("field" in reference) return reference.field;
  if ("operator" in reference) return `m25-mail ${reference.operator}`;
  const { next: endpoint, arguments: given = {} } = reference;
  const reads = readingTools.some((tool) => tool.endpoint === endpoint);
  const query = new URLSearchParams(given).toString();
  return `${reads ? "GET" : "POST"} /api/${endpoint}${query === "" ? "" : `?${query}`}`;
}
