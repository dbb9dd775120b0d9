import type { Tool } from "../../../tools/call/tool.ts";
import { tools } from "../../../tools/index.ts";
import { plainly, type Reference, type Text, worded } from "../../mail/text.ts";

/** Words a text for REST, with its requests: GET /api/list-users?domain=example.nl. */
export function overRest(said: Text): string {
  return worded(said, name);
}

function name(reference: Reference): string {
  if (!("next" in reference)) return plainly(reference);
  const { next: endpoint, arguments: given = {} } = reference;
  const tool = tools.find((each) => each.endpoint === endpoint);
  if (tool === undefined) throw new Error(`there is no operation ${endpoint}`);
  const query = new URLSearchParams(given).toString();
  return `${restRequest(tool)}${query === "" ? "" : `?${query}`}`;
}

/** The method and path of an operation: GET /api/list-users. */
export function restRequest({ effect, endpoint }: Tool): string {
  return `${effect === "read" ? "GET" : "POST"} /api/${endpoint}`;
}
