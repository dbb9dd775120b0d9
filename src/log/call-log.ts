import type { EndedCall } from "../../tools/call.ts";
import type { LogFields } from "./log.ts";

/** What the log says of a call: never its input, which stands in the audit log without its secrets. */
export function callFields({ request, tool, outcome, ms, principal, client }: EndedCall): LogFields {
  return { request, tool, outcome, ms: Math.round(ms), principal: principal.name, client };
}
