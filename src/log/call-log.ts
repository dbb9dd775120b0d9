import type { EndedCall } from "../../tools/call/call.ts";
import type { LogFields } from "./log.ts";

/** Logs a call without its input. The audit log has the input without its secrets. */
export function callFields({ request, tool, outcome, ms, principal, client }: EndedCall): LogFields {
  return { request, tool, outcome, ms: Math.round(ms), principal: principal.name, client };
}
