import {
  acceptedContent,
  type CallToolResult,
  CLIENT_CAPABILITIES_META_KEY,
  type ClientCapabilities,
  createRequestStateCodec,
  type GetPromptResult,
  type InputRequests,
  type InputRequiredResult,
  inputRequired,
  ProtocolError,
  ProtocolErrorCode,
  ResourceNotFoundError,
  type Server,
  type ServerContext,
  type Tool,
} from "@modelcontextprotocol/server";

/** A tool for the conformance suite only, under the name that the suite expects. */
export interface FixtureTool {
  inputSchema?: Tool["inputSchema"];
  run(
    args: Record<string, unknown>,
    context: ServerContext,
  ): CallToolResult | InputRequiredResult | Promise<CallToolResult | InputRequiredResult>;
}

interface FixturePrompt {
  arguments?: { name: string; description: string; required: boolean }[];
  run(
    args: Record<string, string>,
    context: ServerContext,
  ): GetPromptResult["messages"] | InputRequiredResult;
}

const PNG =
  "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8BQDwAEhQGAhKmMIQAAAABJRU5ErkJggg==";
const WAV = "UklGRiQAAABXQVZFZm10IBAAAAABAAEARKwAAIhYAQACABAAZGF0YQAAAAA=";

const text = (content: string): CallToolResult => ({ content: [{ type: "text", text: content }] });
const textResource = (uri: string, content: string) => ({ uri, mimeType: "text/plain", text: content });
const image = { type: "image", data: PNG, mimeType: "image/png" } as const;
const ask = (field: string) =>
  inputRequired.elicit({
    message: `Please give: ${field}`,
    requestedSchema: { type: "object", properties: { [field]: { type: "string" } }, required: [field] },
  });
const sample = (prompt: string) =>
  inputRequired.createMessage({
    messages: [{ role: "user", content: { type: "text", text: prompt } }],
    maxTokens: 50,
  });

/** Seals the state that a tool asks a client to send back. The key lasts for one run of the suite. */
const states = createRequestStateCodec<{ round: number }>({
  key: crypto.getRandomValues(new Uint8Array(32)),
});

async function roundOf(context: ServerContext): Promise<number> {
  const state = context.mcpReq.requestState<unknown>();
  if (state === undefined) return 0;
  try {
    return (await states.verify(String(state), context)).round;
  } catch {
    throw new ProtocolError(ProtocolErrorCode.InvalidParams, "The request state is not one of this server.");
  }
}

export const fixtureTools: Record<string, FixtureTool> = {
  test_simple_text: { run: () => text("A plain text.") },
  test_image_content: { run: () => ({ content: [image] }) },
  test_audio_content: {
    run: () => ({ content: [{ type: "audio", data: WAV, mimeType: "audio/wav" }] }),
  },
  test_embedded_resource: {
    run: () => ({
      content: [{ type: "resource", resource: textResource("test://embedded-resource", "Embedded.") }],
    }),
  },
  test_multiple_content_types: {
    run: () => ({
      content: [
        { type: "text", text: "Text, an image and a resource." },
        image,
        { type: "resource", resource: textResource("test://mixed", "Embedded.") },
      ],
    }),
  },
  test_error_handling: { run: () => ({ ...text("internal: This fixture always fails."), isError: true }) },
  test_tool_with_logging: {
    async run(_args, { mcpReq }) {
      for (const data of ["started", "working", "done"]) {
        await mcpReq.notify({ method: "notifications/message", params: { level: "info", data } });
      }
      return text("Logged.");
    },
  },
  test_logging_tool: {
    async run(_args, { mcpReq }) {
      await mcpReq.log("info", "only for requests that ask for it");
      return text("Logged.");
    },
  },
  test_tool_with_progress: {
    async run(_args, { mcpReq }) {
      const progressToken = mcpReq._meta?.progressToken;
      for (const progress of progressToken === undefined ? [] : [0, 50, 100]) {
        const params = { progressToken: progressToken as string, progress, total: 100 };
        await mcpReq.notify({ method: "notifications/progress", params });
      }
      return text(String(progressToken));
    },
  },
  test_streaming_elicitation: { run: () => text("A result and nothing else.") },
  test_missing_capability: { run: () => inputRequired({ inputRequests: { answer: sample("Say: pong") } }) },
  json_schema_2020_12_tool: {
    inputSchema: {
      $schema: "https://json-schema.org/draft/2020-12/schema",
      type: "object",
      $defs: {
        address: {
          $anchor: "addressDef",
          type: "object",
          properties: { street: { type: "string" }, city: { type: "string" } },
        },
      },
      properties: {
        name: { type: "string" },
        address: { $ref: "#/$defs/address" },
        contactMethod: { type: "string", enum: ["phone", "email"] },
        phone: { type: "string" },
        email: { type: "string" },
      },
      allOf: [{ anyOf: [{ required: ["phone"] }, { required: ["email"] }] }],
      if: { properties: { contactMethod: { const: "phone" } }, required: ["contactMethod"] },
      // biome-ignore lint/suspicious/noThenProperty: a keyword of JSON Schema 2020-12
      then: { required: ["phone"] },
      else: { required: ["email"] },
      additionalProperties: false,
    },
    run: () => text("Called."),
  },
  test_input_required_result_elicitation: {
    run(_args, { mcpReq }) {
      const name = acceptedContent<{ name: unknown }>(mcpReq.inputResponses, "user_name")?.name;
      if (typeof name === "string") return text(`Hello, ${name}!`);
      return inputRequired({ inputRequests: { user_name: ask("name") } });
    },
  },
  test_input_required_result_sampling: {
    run(_args, { mcpReq }) {
      const answer = mcpReq.inputResponses?.capital_question;
      if (answer !== undefined) return text(`The answer: ${JSON.stringify(answer)}`);
      return inputRequired({ inputRequests: { capital_question: sample("What is the capital of France?") } });
    },
  },
  test_input_required_result_list_roots: {
    run(_args, { mcpReq }) {
      const answer = mcpReq.inputResponses?.client_roots;
      if (answer !== undefined) return text(`The roots: ${JSON.stringify(answer)}`);
      return inputRequired({ inputRequests: { client_roots: inputRequired.listRoots() } });
    },
  },
  test_input_required_result_request_state: { run: confirmOnce },
  test_input_required_result_tampered_state: { run: confirmOnce },
  test_input_required_result_multiple_inputs: {
    async run(_args, { mcpReq }) {
      const answers = mcpReq.inputResponses ?? {};
      if (["user_name", "greeting", "client_roots"].every((name) => name in answers)) {
        return text(`The answers: ${JSON.stringify(answers)}`);
      }
      return inputRequired({
        inputRequests: {
          user_name: ask("name"),
          greeting: sample("Write a greeting"),
          client_roots: inputRequired.listRoots(),
        },
        requestState: await states.mint({ round: 1 }),
      });
    },
  },
  test_input_required_result_multi_round: {
    async run(_args, context) {
      const round = await roundOf(context);
      if (round === 2) return text("Both answers are here.");
      const [name, field] = round === 0 ? ["step1", "name"] : ["step2", "color"];
      return inputRequired({
        inputRequests: { [name]: ask(field) },
        requestState: await states.mint({ round: round + 1 }),
      });
    },
  },
  test_input_required_result_capabilities: {
    run(_args, { mcpReq }) {
      if (mcpReq.inputResponses !== undefined) return text("Answered.");
      const envelope: Record<string, unknown> = mcpReq.envelope ?? {};
      const declared = envelope[CLIENT_CAPABILITIES_META_KEY] as ClientCapabilities | undefined;
      const inputRequests: InputRequests = {};
      if (declared?.elicitation !== undefined) inputRequests.user_name = ask("name");
      if (declared?.sampling !== undefined) inputRequests.greeting = sample("Write a greeting");
      if (declared?.roots !== undefined) inputRequests.client_roots = inputRequired.listRoots();
      return Object.keys(inputRequests).length === 0
        ? text("Nothing to ask.")
        : inputRequired({ inputRequests });
    },
  },
};

async function confirmOnce(_args: unknown, context: ServerContext) {
  const round = await roundOf(context);
  const answer = acceptedContent(context.mcpReq.inputResponses, "confirm");
  if (round === 1 && answer !== undefined) return text("state-ok, integrity-ok");
  return inputRequired({
    inputRequests: { confirm: ask("ok") },
    requestState: await states.mint({ round: 1 }),
  });
}

const userText = (content: string) => ({ role: "user", content: { type: "text", text: content } }) as const;
const required = (name: string) => ({ name, description: `The ${name}.`, required: true });

const prompts: Record<string, FixturePrompt> = {
  test_simple_prompt: { run: () => [userText("A prompt.")] },
  test_prompt_with_arguments: {
    arguments: [required("arg1"), required("arg2")],
    run: ({ arg1, arg2 }) => [userText(`arg1='${arg1}', arg2='${arg2}'`)],
  },
  test_prompt_with_embedded_resource: {
    arguments: [required("resourceUri")],
    run: ({ resourceUri }) => [
      {
        role: "user",
        content: { type: "resource", resource: textResource(String(resourceUri), "Embedded.") },
      },
      userText("Read it."),
    ],
  },
  test_prompt_with_image: { run: () => [{ role: "user", content: image }, userText("Look at it.")] },
  test_input_required_result_prompt: {
    run(_args, { mcpReq }) {
      const given = acceptedContent<{ context: unknown }>(mcpReq.inputResponses, "user_context")?.context;
      if (typeof given === "string") return [userText(`The context: ${given}`)];
      return inputRequired({ inputRequests: { user_context: ask("context") } });
    },
  },
};

const resources = [
  { name: "static-text", ...textResource("test://static-text", "A static text.") },
  { name: "static-binary", uri: "test://static-binary", mimeType: "image/png", blob: PNG },
];

/** Adds the resources, prompts and completions that the suite expects. M25 Mail has none of its own. */
export function addFixtures(server: Server): void {
  server.registerCapabilities({ resources: {}, prompts: {}, completions: {}, logging: {} });
  server.setRequestHandler("resources/list", () => ({
    resources: resources.map(({ name, uri, mimeType }) => ({ name, uri, mimeType })),
  }));
  server.setRequestHandler("resources/templates/list", () => ({
    resourceTemplates: [{ name: "template", uriTemplate: "test://template/{id}/data" }],
  }));
  server.setRequestHandler("resources/read", ({ params: { uri } }) => {
    const template = /^test:\/\/template\/([^/]+)\/data$/.exec(uri);
    if (template !== null) return { contents: [textResource(uri, `The data of ${template[1]}`)] };
    const found = resources.find((resource) => resource.uri === uri);
    if (found === undefined) throw new ResourceNotFoundError(uri);
    const { name: _, ...content } = found;
    return { contents: [content] };
  });
  server.setRequestHandler("prompts/list", () => ({
    prompts: Object.entries(prompts).map(([name, prompt]) => ({
      name,
      description: "For the conformance suite.",
      arguments: prompt.arguments,
    })),
  }));
  server.setRequestHandler("prompts/get", ({ params }, context) => {
    const prompt = prompts[params.name];
    if (prompt === undefined) throw new ProtocolError(ProtocolErrorCode.InvalidParams, "No such prompt.");
    const answer = prompt.run(params.arguments ?? {}, context);
    return Array.isArray(answer) ? { messages: answer } : answer;
  });
  server.setRequestHandler("completion/complete", () => ({ completion: { values: [] } }));
  server.setRequestHandler("logging/setLevel", () => ({}));
}
