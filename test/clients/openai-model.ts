import * as z from "zod";
import { type Call, type Dialect, type ScriptedModel, scriptedModel } from "./scripted-model.ts";

const Tool = z.looseObject({ name: z.string().optional() });
const Request = z.looseObject({
  stream: z.boolean().optional(),
  input: z.array(z.looseObject({ type: z.string().optional(), output: z.unknown().optional() })).default([]),
  tools: z.array(Tool.extend({ tools: z.array(Tool).optional() })).default([]),
});

const usage = {
  input_tokens: 1,
  input_tokens_details: { cached_tokens: 0 },
  output_tokens: 1,
  output_tokens_details: { reasoning_tokens: 0 },
  total_tokens: 2,
};

/** The Responses API, streamed or not, as far as Codex and the Agents SDK use it. */
const responses: Dialect = {
  results: (body) =>
    Request.parse(body)
      .input.filter((item) => item.type === "function_call_output")
      .map(({ output }) => (typeof output === "string" ? output : JSON.stringify(output))),
  reply(body, call, response, path) {
    if (!path.endsWith("/responses")) return void response.writeHead(404).end();
    const { stream, tools, input } = Request.parse(body);
    const item =
      call === undefined
        ? {
            type: "message",
            id: "msg_1",
            role: "assistant",
            status: "completed",
            content: [{ type: "output_text", text: "Done.", annotations: [] }],
          }
        : {
            type: "function_call",
            id: `fc_${input.length}`,
            call_id: `call_${input.length}`,
            status: "completed",
            arguments: JSON.stringify(call.arguments),
            ...named(tools, call.name),
          };
    const whole = {
      id: `resp_${input.length}`,
      object: "response",
      created_at: 1,
      model: "scripted",
      status: "completed",
      output: [item],
      usage,
    };
    if (stream !== true) {
      response.writeHead(200, { "content-type": "application/json" }).end(JSON.stringify(whole));
      return;
    }
    response.writeHead(200, { "content-type": "text/event-stream" });
    const events = [
      { type: "response.created", response: { ...whole, status: "in_progress", output: [] } },
      { type: "response.output_item.added", output_index: 0, item },
      { type: "response.output_item.done", output_index: 0, item },
      { type: "response.completed", response: whole },
    ];
    for (const event of events) response.write(`event: ${event.type}\ndata: ${JSON.stringify(event)}\n\n`);
    response.end();
  },
};

/** Finds a tool by the client's name for it, which may have a prefix or stand in a group. */
function named(tools: z.infer<typeof Request>["tools"], name: string): { name: string; namespace?: string } {
  for (const tool of tools) {
    if (tool.name?.endsWith(name)) return { name: tool.name };
    const inner = tool.tools?.find((one) => one.name?.endsWith(name));
    if (inner?.name !== undefined) return { name: inner.name, ...(tool.name && { namespace: tool.name }) };
  }
  return { name };
}

export async function openaiModel(
  calls: readonly Call[],
): Promise<ScriptedModel & { environment: Record<string, string> }> {
  const model = await scriptedModel(calls, responses);
  return { ...model, environment: { OPENAI_BASE_URL: `${model.url}/v1`, OPENAI_API_KEY: "no-key" } };
}
