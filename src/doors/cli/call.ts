import { call, type Runtime } from "../../../tools/call.ts";
import { operator } from "../../../tools/principal.ts";
import type { Tool } from "../../../tools/tool.ts";
import type { MailError } from "../../mail/error.ts";

/** Exit codes after sysexits.h: 75 invites cron to try again. */
export const exitCodes = { done: 0, refused: 1, usage: 2, temporary: 75 } as const;

/** Runs a tool as the operator and shows its result on stdout, or its refusal on stderr. */
export async function runTool(
  runtime: Runtime,
  tool: Tool,
  input: Record<string, unknown>,
  present: (result: Record<string, unknown>) => string,
): Promise<number> {
  const outcome = await call(runtime, operator("cli"), tool, input);
  if (outcome.ok) {
    process.stdout.write(`${present(outcome.value)}\n`);
    return exitCodes.done;
  }
  return showRefusal(outcome.error);
}

/** Shows a refusal on stderr and gives its exit code. */
export function showRefusal({ code, message, hint, temporary }: MailError): number {
  process.stderr.write(`${code}: ${message}\n${hint}\n`);
  return temporary ? exitCodes.temporary : exitCodes.refused;
}
