import { call, type Runtime } from "../../tools/call/call.ts";
import { operator } from "../../tools/call/principal.ts";
import type { Tool } from "../../tools/call/tool.ts";

/** A tool's handler as in the SDK's documentation: the SDK answers for thrown errors. */
export const handlerOf = (runtime: Runtime, tool: Tool) => async (args: unknown) => {
  const outcome = await call(runtime, { principal: operator("stdio"), tool, input: args });
  if (!outcome.ok) throw outcome.error;
  return {
    content: [{ type: "text" as const, text: JSON.stringify(outcome.value) }],
    structuredContent: outcome.value,
  };
};
