import * as z from "zod";
import { type Call, type Dialect, type ScriptedModel, scriptedModel } from "./scripted-model.ts";

const Request = z.looseObject({
  contents: z
    .array(z.looseObject({ parts: z.array(z.looseObject({ functionResponse: z.unknown().optional() })) }))
    .default([]),
  tools: z
    .array(z.looseObject({ functionDeclarations: z.array(z.looseObject({ name: z.string() })).default([]) }))
    .default([]),
});

/** Gemini's API, streamed or not, as far as Gemini CLI uses it. */
const generateContent: Dialect = {
  results: (body) =>
    Request.parse(body)
      .contents.flatMap(({ parts }) => parts)
      .filter((part) => part.functionResponse !== undefined)
      .map((part) => JSON.stringify(part.functionResponse)),
  reply(body, call, response, path) {
    const declared = Request.parse(body).tools.flatMap((tool) => tool.functionDeclarations);
    const name = declared.find((one) => call !== undefined && one.name.endsWith(call.name))?.name;
    const part =
      call === undefined || name === undefined
        ? { text: "Done." }
        : { functionCall: { name, args: call.arguments } };
    const answer = {
      candidates: [{ index: 0, content: { role: "model", parts: [part] }, finishReason: "STOP" }],
      usageMetadata: { promptTokenCount: 1, candidatesTokenCount: 1, totalTokenCount: 2 },
    };
    if (path.includes(":streamGenerateContent")) {
      response.writeHead(200, { "content-type": "text/event-stream" });
      response.end(`data: ${JSON.stringify(answer)}\n\n`);
    } else if (path.includes(":generateContent")) {
      response.writeHead(200, { "content-type": "application/json" }).end(JSON.stringify(answer));
    } else {
      response.writeHead(404).end();
    }
  },
};

export const geminiModel = (calls: readonly Call[]): Promise<ScriptedModel> =>
  scriptedModel(calls, generateContent);
