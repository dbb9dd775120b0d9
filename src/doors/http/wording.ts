import type { Tool } from "../../../tools/call/tool.ts";
import { plainly, type Reference, type Text, worded } from "../../mail/text.ts";

/** Words a text for REST, with its requests: GET /api/list-users?domain=example.nl. */
export function overRest(said: Text): string {
  return worded(said, name);
}

function name(reference: Reference): string {
  if (!("next" in reference)) return plainly(reference);
  const { next: endpoint, arguments: given = {} } = reference;
  const effect = /^(list|check)-/.test(endpoint) ? "read" : "write";
  const query = new URLSearchParams(given).toString();
  return `${restRequest({ effect, endpoint })}${query === "" ? "" : `?${query}`}`;
}

/** The method and path of an operation: GET /api/list-users. */
export function restRequest({ effect, endpoint }: Pick<Tool, "effect" | "endpoint">): string {
  return `${effect === "read" ? "GET" : "POST"} /api/${endpoint}`;
}
