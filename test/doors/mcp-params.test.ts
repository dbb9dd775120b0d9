import { expect, test } from "vitest";
import { http } from "../support/http.ts";
import { postMcp, rpc } from "../support/mcp.ts";
import { startServer } from "../support/server.ts";

const CANARY = "canary-6fb1";

const envelope = {
  "io.modelcontextprotocol/protocolVersion": "2026-07-28",
  "io.modelcontextprotocol/clientInfo": { name: "test", version: "1" },
  "io.modelcontextprotocol/clientCapabilities": {},
};
const modern = { "mcp-protocol-version": "2026-07-28", "mcp-method": "tools/list" };

const accepted = ["*/*", "application/json", "text/event-stream", "text/html", "", "application/json;q=0.9"];

test.each(accepted)("a client that accepts %j gets an answer in a form that it reads", async (accept) => {
  const server = await startServer();
  const old = await postMcp(server, rpc("tools/list"), { accept });
  expect([old.status, old.body]).toEqual([200, expect.stringContaining("m25_mail_add_user")]);
  const type = accept === "text/event-stream" ? accept : "application/json";
  expect(old.headers["content-type"]).toContain(type);
  const [, message = ""] = /^(?:event: message\ndata: )?(.*?)\n*$/.exec(old.body) ?? [];
  expect(JSON.parse(message)).toMatchObject({ id: 1, result: { tools: expect.any(Array) } });
  const current = await postMcp(server, rpc("tools/list", { _meta: envelope }), { ...modern, accept });
  expect([current.status, current.body]).toEqual([200, expect.stringContaining("m25_mail_add_user")]);
  const params = { protocolVersion: "2025-11-25", capabilities: {}, clientInfo: { name: "t", version: "1" } };
  const begun = await postMcp(server, rpc("initialize", params), { accept });
  expect([begun.status, begun.body]).toEqual([200, expect.stringContaining("instructions")]);
});

test("a client without an Accept header gets an answer", async () => {
  const server = await startServer();
  const { status, body } = await http(`${server.url}/mcp`, {
    method: "POST",
    headers: { authorization: `Bearer ${server.token}`, "content-type": "application/json" },
    body: JSON.stringify(rpc("tools/list")),
  });
  expect([status, body]).toEqual([200, expect.stringContaining("m25_mail_add_user")]);
});

test("/mcp/ works as /mcp, with the same credential and methods", async () => {
  const server = await startServer();
  const post = (token: string) =>
    http(`${server.url}/mcp/`, {
      method: "POST",
      headers: { authorization: `Bearer ${token}`, "content-type": "application/json" },
      body: JSON.stringify(rpc("tools/call", { name: "m25_mail_list_domains", arguments: {} })),
    });
  expect(await post(server.token)).toMatchObject({
    status: 200,
    body: expect.stringContaining("next_cursor"),
  });
  expect((await post("wrong")).status).toBe(401);
  const headers = { authorization: `Bearer ${server.token}` };
  const wrongMethod = await http(`${server.url}/mcp/`, { headers });
  expect([wrongMethod.status, wrongMethod.headers.allow]).toEqual([405, "POST"]);
  expect((await http(`${server.url}/mcp/x`, { method: "POST", headers })).status).toBe(404);
});

test("with OAuth, /mcp/ leads to the same metadata as /mcp", async () => {
  const server = await startServer({ oauth: "true", "public-url": "https://mail.example.nl" });
  const metadata = await http(`${server.url}/.well-known/oauth-protected-resource/mcp/`);
  expect(JSON.parse(metadata.body)).toMatchObject({ resource: "https://mail.example.nl/mcp" });
});

test.each([[{}], [{ oauth: "true", "public-url": "https://mail.example.nl" }]])(
  "a client that tries to register itself gets 404, not a request to log in (%j)",
  async (flags: Record<string, string>) => {
    const { url } = await startServer(flags);
    const body = JSON.stringify({ redirect_uris: ["http://localhost/"] });
    const headers = { "content-type": "application/json" };
    expect((await http(`${url}/register`, { method: "POST", headers, body })).status).toBe(404);
    expect((await http(`${url}/register/`, { method: "POST", headers, body })).status).toBe(404);
    expect((await http(`${url}/registers`, { method: "POST", headers, body })).status).toBe(401);
  },
);

const complete = { protocolVersion: "2025-11-25", capabilities: {}, clientInfo: { name: "t", version: "1" } };

const wrongParams: Array<[what: string, method: string, params: object, said: RegExp]> = [
  ["no clientInfo", "initialize", { ...complete, clientInfo: undefined }, /clientInfo \(an object/],
  ["a clientInfo that is null", "initialize", { ...complete, clientInfo: null }, /clientInfo \(an object/],
  ["a nameless clientInfo", "initialize", { ...complete, clientInfo: {} }, /clientInfo \(an object/],
  ["no capabilities", "initialize", { ...complete, capabilities: undefined }, /capabilities/],
  ["a revision that is a number", "initialize", { ...complete, protocolVersion: 2025 }, /protocolVersion/],
  ["no params", "initialize", {}, /It takes protocolVersion/],
  ["a cursor that is a number", "tools/list", { cursor: 5 }, /at most cursor, a text; leave it out/],
  ["a cursor that is an object", "tools/list", { cursor: { [CANARY]: CANARY } }, /at most cursor, a text/],
];

test.each(wrongParams)("%s is refused in plain words", async (_what, method, params, said) => {
  const server = await startServer();
  const { status, body } = await postMcp(server, rpc(method, params));
  const { error } = JSON.parse(body);
  expect([status, error.code]).toEqual([200, -32602]);
  expect(error.message).toMatch(/^The params of /);
  expect(error.message).toMatch(said);
  expect(body).not.toMatch(new RegExp(`invalid_type|expected|\\\\n|${CANARY}`));
  expect(server.log.join()).not.toContain("could not be served");
});

test("a null task counts as none", async () => {
  const server = await startServer();
  const call = rpc("tools/call", { name: "m25_mail_list_domains", arguments: {}, task: null });
  const { body } = await postMcp(server, call);
  expect(JSON.parse(body).result.structuredContent).toMatchObject({ total: 0 });
});

test("wrong params are refused in plain words for revision 2026-07-28 too", async () => {
  const server = await startServer();
  const message = rpc("tools/list", { cursor: 5, _meta: envelope });
  const { body } = await postMcp(server, message, modern);
  expect(JSON.parse(body).error.message).toMatch(/^The params of tools\/list .*leave it out/);
});

test.each([
  ["before 2026-07-28", {}, {}],
  ["as of 2026-07-28", { _meta: envelope }, modern],
])("a null cursor counts as none, %s", async (_when, meta, fields) => {
  const server = await startServer();
  const { body } = await postMcp(server, rpc("tools/list", { cursor: null, ...meta }), fields);
  const without = await postMcp(server, rpc("tools/list", meta), fields);
  expect(JSON.parse(body)).toEqual(JSON.parse(without.body));
  expect(JSON.parse(body).result.tools).toHaveLength(9);
});

test("the first line of the instructions has the words that people search for", async () => {
  const server = await startServer();
  const { body } = await postMcp(server, rpc("initialize", complete));
  const [first = ""] = JSON.parse(body).result.instructions.split("\n");
  for (const words of ["create a mailbox", "reset a password", "delete", "quota", "list", "find", "domain"]) {
    expect(first.toLowerCase()).toContain(words);
  }
  const readOnly = await startServer({ "read-only": "true" });
  const looked = JSON.parse((await postMcp(readOnly, rpc("initialize", complete))).body).result.instructions;
  expect(looked.split("\n")[0]).toMatch(/list .*mailboxes.*quota/i);
  expect(looked).not.toMatch(/create|reset|delete/i);
});
