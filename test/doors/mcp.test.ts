import { expect, test } from "vitest";
import { http, rawHttp } from "../support/http.ts";
import { postCall, postMcp, rpc } from "../support/mcp.ts";
import { startServer } from "../support/server.ts";
import { testRuntime } from "../support/store.ts";

interface Tool {
  name: string;
  annotations: Record<"readOnlyHint" | "destructiveHint" | "idempotentHint", boolean>;
}

const CANARY = "canary-Hunter22";

/** Parses an answer: one JSON-RPC message, not a stream of events. */
const message = (body: string): Record<string, unknown> => JSON.parse(body);

const initialize = (protocolVersion: string) =>
  rpc("initialize", { protocolVersion, capabilities: {}, clientInfo: { name: "test", version: "1" } });

test.each(["2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25"])(
  "a client of revision %s gets an answer in it and instructions to begin with",
  async (revision) => {
    const server = await startServer();
    const { status, body } = await postMcp(server, initialize(revision));
    expect(status).toBe(200);
    expect(message(body).result).toMatchObject({
      protocolVersion: revision,
      serverInfo: { name: "m25-mail" },
      capabilities: { tools: {} },
      instructions: expect.stringContaining("m25_mail_add_domain once"),
    });
  },
);

test("tools/list is always the same, byte for byte", async () => {
  const server = await startServer();
  const one = await postMcp(server, rpc("tools/list"));
  const two = await postMcp(server, rpc("tools/list"));
  expect(message(one.body).result).toMatchObject({ tools: { length: 9 } });
  expect(two.body).toBe(one.body);
});

test("clients learn which tools only read, and which overwrite or remove something", async () => {
  const server = await startServer();
  const { result } = message((await postMcp(server, rpc("tools/list"))).body) as {
    result: { tools: Tool[] };
  };
  const hinted = (hint: keyof Tool["annotations"]) =>
    result.tools.filter(({ annotations }) => annotations[hint]).map(({ name }) => name);
  const looking = ["m25_mail_list_domains", "m25_mail_list_users", "m25_mail_list_nodes"];
  const destroying = ["m25_mail_remove_domain", "m25_mail_update_password", "m25_mail_remove_user"];
  expect(hinted("readOnlyHint").sort()).toEqual(looking.toSorted());
  expect(hinted("destructiveHint").sort()).toEqual(destroying.toSorted());
  expect(hinted("idempotentHint").sort()).toEqual([...looking, "m25_mail_update_password"].sort());
});

test.each(["2025-06-18", "2025-11-25", "2026-07-28"])(
  "a batch, which revision %s does not have, is refused with the next step",
  async (version) => {
    const server = await startServer();
    const call = rpc("tools/call", { name: "m25_mail_add_domain", arguments: { domain: "example.nl" } });
    const { status, headers, body } = await postMcp(server, [call], { "mcp-protocol-version": version });
    expect(status).toBe(400);
    expect(headers["content-type"]).toMatch(/^application\/json/);
    expect(message(body)).toEqual({
      jsonrpc: "2.0",
      id: null,
      error: { code: -32600, message: expect.stringContaining("one message at a time") },
    });
    expect((await server.api("list-domains")).body).toMatchObject({ total: 0 });
  },
);

test("a batch is answered, even if one of its messages cancels another", async () => {
  const server = await startServer();
  const headers = { "mcp-protocol-version": "2025-03-26" };
  const call = rpc("tools/call", { name: "m25_mail_list_domains", arguments: {} });
  const one = await postMcp(server, [call], headers);
  expect(one.body).toContain('"total":0');
  const cancelled = { jsonrpc: "2.0", method: "notifications/cancelled", params: { requestId: 1 } };
  const controller = new AbortController();
  const answer = await fetch(`${server.url}/mcp`, {
    method: "POST",
    headers: {
      ...headers,
      authorization: `Bearer ${server.token}`,
      "content-type": "application/json",
      accept: "application/json, text/event-stream",
    },
    body: JSON.stringify([call, cancelled]),
    signal: controller.signal,
  });
  expect(answer.status).toBe(200);
  controller.abort();
});

test("an allowed Host in an unusual spelling is refused as the client's fault, not the server's", async () => {
  const server = await startServer();
  const port = new URL(server.url).port;
  const body = JSON.stringify(rpc("tools/list"));
  const answer = await rawHttp(
    server.url,
    `POST /mcp HTTP/1.1\r\nHost: [0:0:0:0:0:0:0:1]:${port}\r\nAuthorization: Bearer ${server.token}\r\nContent-Type: application/json\r\nAccept: application/json, text/event-stream\r\nContent-Length: ${body.length}\r\nConnection: close\r\n\r\n${body}`,
  );
  expect(answer).toMatch(/^HTTP\/1.1 400 /);
});

test("there are no sessions to open a stream in or to end", async () => {
  const server = await startServer();
  for (const method of ["GET", "DELETE"]) {
    const headers = { authorization: `Bearer ${server.token}`, accept: "text/event-stream" };
    expect((await http(`${server.url}/mcp`, { method, headers })).status).toBe(405);
  }
});

test("arguments of a wrong type are refused in the tool's words, not the protocol library's", async () => {
  const server = await startServer();
  for (const input of [{ domain: 5 }, {}, { domain: "example.nl", extra: CANARY }]) {
    const { body } = await postMcp(
      server,
      rpc("tools/call", { name: "m25_mail_add_domain", arguments: input }),
    );
    expect(message(body).result).toMatchObject({
      isError: true,
      content: [{ type: "text", text: expect.stringMatching(/^invalid_input: .*This call takes domain\.$/) }],
    });
    expect(body).not.toContain(CANARY);
  }
});

test("a client's mistake is logged in its request's one line, in plain words and not as a server error", async () => {
  const server = await startServer();
  const listing = (version: string) =>
    rpc("tools/list", {
      _meta: {
        "io.modelcontextprotocol/protocolVersion": version,
        "io.modelcontextprotocol/clientInfo": { name: "test", version: "1" },
        "io.modelcontextprotocol/clientCapabilities": {},
      },
    });
  const fields = (version: string, method: string) => ({
    "mcp-protocol-version": version,
    "mcp-method": method,
  });
  for (const [message, headers, refused] of [
    [{ [CANARY]: CANARY }, {}, "it is not a JSON-RPC message"],
    [[], {}, "it is not a JSON-RPC message"],
    ["5", {}, "it is not a JSON-RPC message"],
    [`{"${CANARY}`, {}, "The message is not JSON in UTF-8."],
    [listing("2026-07-28"), fields("2026-07-28", CANARY), expect.stringContaining("its header fields")],
    [rpc("tools/list"), fields("2026-07-28", "tools/list"), expect.stringContaining("its params")],
    [
      listing("2099-01-01"),
      fields("2099-01-01", "tools/list"),
      expect.stringContaining("its protocol revision"),
    ],
    [
      [rpc("tools/list")],
      { "mcp-protocol-version": "2025-06-18" },
      expect.stringMatching(/^Send one message at a time/),
    ],
    [
      rpc("tools/list"),
      { "mcp-protocol-version": "1999-01-01" },
      expect.stringContaining("its protocol revision"),
    ],
    [rpc("no/method"), {}, "there is no such method here"],
    [rpc("tools/list", { cursor: { [CANARY]: 5 } }), {}, expect.stringContaining("its params")],
    [
      rpc("tools/call", { name: "m25_mail_list_domains", _meta: { progressToken: [CANARY] } }),
      {},
      "it is not a JSON-RPC message",
    ],
  ] as const) {
    server.log.length = 0;
    const { status, body } = await postMcp(server, message, headers);
    expect(JSON.parse(body)).toMatchObject({ jsonrpc: "2.0", error: { message: expect.any(String) } });
    await expect.poll(() => server.log).toHaveLength(1);
    const [line = ""] = server.log;
    expect(line).toMatch(/^request \{/);
    const logged = JSON.parse(line.replace("request ", ""));
    expect(logged).toMatchObject({ route: "/mcp", status, principal: "first", refused });
    expect(logged).not.toHaveProperty("tool");
    expect(line).not.toContain("Hunter");
  }
});

test("arguments that are not an object are invalid input, in the answer and in the log, for every revision", async () => {
  const server = await startServer();
  for (const input of [null, [], [CANARY], CANARY, 5]) {
    for (const post of [
      () => postMcp(server, rpc("tools/call", { name: "m25_mail_remove_domain", arguments: input })),
      () => postCall(server, { name: "m25_mail_remove_domain", arguments: input as never }, { name: "test" }),
    ]) {
      server.log.length = 0;
      const { status, body } = await post();
      expect(status, body).toBe(200);
      expect(message(body).result).toMatchObject({
        isError: true,
        content: [
          {
            text:
              input === null // counts as none at every door
                ? "invalid_input: domain: this field is required. This call takes domain."
                : "invalid_input: The input must be a JSON object. This call takes domain.",
          },
        ],
      });
      await expect.poll(() => server.log).toHaveLength(1);
      const logged = JSON.parse((server.log[0] ?? "").replace("request ", ""));
      expect(logged).toMatchObject({ tool: "remove-domain", outcome: "invalid_input", principal: "first" });
      expect(logged).not.toHaveProperty("refused");
      expect(body + server.log[0]).not.toContain("Hunter");
    }
  }
  const listing = rpc("tools/call", { name: "m25_mail_list_domains", arguments: null });
  expect(message((await postMcp(server, listing)).body).result).toMatchObject({
    structuredContent: { total: 0 },
  });
});

test("a change that no node serves says so in the names of the tools", async () => {
  const server = await startServer();
  const adding = rpc("tools/call", { name: "m25_mail_add_domain", arguments: { domain: "example.nl" } });
  expect(message((await postMcp(server, adding)).body).result).toMatchObject({
    structuredContent: { note: expect.stringMatching(/not live.*m25_mail_add_node/) },
  });
});

test("a call without a tool's name gets the list of tools", async () => {
  const server = await startServer();
  for (const params of [{}, { arguments: {} }, { name: 5, arguments: {} }, { name: null }]) {
    server.log.length = 0;
    const { body } = await postMcp(server, rpc("tools/call", params));
    expect(message(body).error).toMatchObject({
      code: -32602,
      message: expect.stringMatching(/^There is no such tool\. The tools are: m25_mail_/),
    });
    await expect.poll(() => server.log).toHaveLength(1);
    expect(server.log[0]).toContain('"tool":"none","outcome":"unknown_tool"');
  }
});

test("a call of an unknown tool is logged as that, without its name", async () => {
  for (const headers of [{}, { "mcp-protocol-version": "2026-07-28" }]) {
    const server = await startServer();
    server.log.length = 0;
    if ("mcp-protocol-version" in headers) {
      await postCall(server, { name: CANARY, arguments: {} }, { name: "test" });
    } else {
      await postMcp(server, rpc("tools/call", { name: CANARY, arguments: {} }));
    }
    await expect.poll(() => server.log).toHaveLength(1);
    const fields = JSON.parse((server.log[0] ?? "").replace("request ", ""));
    expect(fields).toMatchObject({
      route: "/mcp",
      tool: "none",
      outcome: "unknown_tool",
      principal: "first",
    });
    expect(server.log[0]).not.toContain("Hunter");
  }
});

test("a client limited to some domains is told so at once and sees no tool for all domains", async () => {
  const server = await startServer();
  const { must } = testRuntime(server.store);
  const { token } = await must("create-token", { name: "some", domains: ["example.nl"] });
  const as = { authorization: `Bearer ${token}` };
  const greeting = message((await postMcp(server, initialize("2025-11-25"), as)).body).result as {
    instructions: string;
  };
  expect(greeting.instructions).toMatch(/for some domains only/);
  expect(greeting.instructions).not.toMatch(/list_nodes|add_node/);
  const all = message((await postMcp(server, initialize("2025-11-25"))).body).result as {
    instructions: string;
  };
  expect(all.instructions).toContain("m25_mail_list_nodes");
  for (const { instructions } of [greeting, all]) {
    expect(instructions).toMatch(/user set,.*never remove and re-create/);
    expect(instructions).toMatch(/Ask the person before hard_delete: true and m25_mail_remove_domain/);
    // Claude Code cuts off what follows.
    expect(instructions.length).toBeLessThanOrEqual(2048);
    expect(instructions).toMatch(/There are no aliases.*: say so, and make no mailbox instead/);
  }
  const { tools } = message((await postMcp(server, rpc("tools/list"), as)).body).result as {
    tools: Array<{ name: string }>;
  };
  expect(tools).toHaveLength(7);
  expect(tools.map(({ name }) => name).filter((name) => name.includes("node"))).toEqual([]);
  const call = rpc("tools/call", { name: "m25_mail_list_nodes", arguments: {} });
  expect(message((await postMcp(server, call, as)).body).result).toMatchObject({
    isError: true,
    content: [{ text: expect.stringContaining("forbidden: ") }],
  });
});

test.each([
  ["cut short", `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"password":"${CANARY}`],
  ["not JSON", `password=${CANARY}`],
  ["a text", `"${CANARY}"`],
  ["not JSON-RPC", `{"password":"${CANARY}"}`],
  ["without arguments of any kind", `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":"${CANARY}"}`],
  ["of an unknown method", `{"jsonrpc":"2.0","id":1,"method":"${CANARY}","params":{}}`],
  ["a tool whose name is a secret", JSON.stringify(rpc("tools/call", { name: CANARY, arguments: {} }))],
  ["empty", ""],
])("a message that is %s is an error that repeats none of it", async (_what, body) => {
  const server = await startServer();
  const answer = await postMcp(server, body);
  expect(answer.body).not.toContain("Hunter");
  expect(answer.body).not.toMatch(/node_modules| {4}at /);
  expect(server.log.join("\n")).not.toContain("Hunter");
  if (answer.status === 200) expect(message(answer.body)).toHaveProperty("error");
  else expect(answer.status).toBeGreaterThanOrEqual(400);
});

test("an unknown tool is a protocol error that lists the tools", async () => {
  const server = await startServer();
  const { body } = await postMcp(server, rpc("tools/call", { name: "m25_mail_drop", arguments: {} }));
  expect(message(body).error).toMatchObject({
    code: -32602,
    message: expect.stringContaining("m25_mail_remove_user"),
  });
});

test("a message over the size limit is refused", async () => {
  const server = await startServer();
  const large = rpc("tools/call", { name: "m25_mail_add_domain", arguments: { domain: "x".repeat(70_000) } });
  expect((await postMcp(server, large)).status).toBe(413);
  const chunked = await http(`${server.url}/mcp`, {
    method: "POST",
    headers: {
      authorization: `Bearer ${server.token}`,
      "content-type": "application/json",
      "transfer-encoding": "chunked",
    },
    body: JSON.stringify(large),
  });
  expect(chunked.status).toBe(413);
});

test("a message of another content type is refused", async () => {
  const server = await startServer();
  expect((await postMcp(server, rpc("tools/list"), { "content-type": "text/plain" })).status).toBe(415);
});
