import { once } from "node:events";
import { join } from "node:path";
import { expect, test } from "vitest";
import { callTool, connectStdio } from "../support/clients.ts";
import { startM25mail } from "../support/program.ts";
import { temporaryFolder } from "../support/store.ts";

const newDatabase = () => join(temporaryFolder(), "m25-mail.db");
/** The whole log of a session on a new database. */
const madeDatabase = expect.stringMatching(/^\S+ info made a new database \S+m25-mail\.db\n$/);

function session(database: string) {
  const program = startM25mail(["stdio", "--db", database]);
  const answers: string[] = [];
  let rest = "";
  program.child.stdout.on("data", (text: string) => {
    const lines = (rest + text).split("\n");
    rest = lines.pop() ?? "";
    answers.push(...lines);
  });
  const send = (message: unknown) =>
    program.child.stdin.write(`${typeof message === "string" ? message : JSON.stringify(message)}\n`);
  return { ...program, answers, send };
}

const initialize = {
  jsonrpc: "2.0",
  id: 0,
  method: "initialize",
  params: { protocolVersion: "2025-11-25", capabilities: {}, clientInfo: { name: "test", version: "1" } },
};
const call = (id: number, name: string, input: object) => ({
  jsonrpc: "2.0",
  id,
  method: "tools/call",
  params: { name, arguments: input },
});

test("stdout carries only JSON-RPC, whatever the input", async () => {
  const { send, answers, child, finished } = session(newDatabase());
  send(initialize);
  send({ jsonrpc: "2.0", method: "notifications/initialized" });
  send("canary-Hunter22, which is no JSON");
  send('{"jsonrpc":"2.0","id":9,"method":"tools/call","params":{"password":"canary-Hunter22');
  send("");
  send(call(1, "m25_mail_add_domain", { domain: "example.nl" }));
  send(call(2, "m25_mail_add_user", { email: "jan@example.nl", password: "short" }));
  send(call(3, "m25_mail_drop", {}));
  send(call(4, "m25_mail_list_domains", {}));
  await expect.poll(() => answers.some((line) => line.includes('"id":4'))).toBe(true);
  child.stdin.end();
  const { code, stdout, stderr } = await finished;
  expect(code).toBe(0);
  for (const line of stdout.trimEnd().split("\n")) {
    expect(JSON.parse(line), line).toMatchObject({ jsonrpc: "2.0" });
  }
  expect(stdout + stderr).not.toContain("Hunter");
});

test("the program ends when its client ends, and keeps every answered change", async () => {
  const database = newDatabase();
  const { send, answers, child, finished } = session(database);
  send(initialize);
  send(call(1, "m25_mail_add_domain", { domain: "example.nl" }));
  await expect.poll(() => answers.length).toBe(2);
  child.stdin.end();
  expect(await finished).toMatchObject({ code: 0, stderr: madeDatabase });
  const again = await connectStdio("2.x legacy", database);
  expect((await callTool(again, "list-domains")).structuredContent).toMatchObject({ total: 1 });
});

test("a client that ends during a call is not reported as a bug", async () => {
  const { send, answers, child, finished } = session(newDatabase());
  send(initialize);
  send(call(1, "m25_mail_add_domain", { domain: "example.nl" }));
  await expect.poll(() => answers.length).toBe(2);
  for (let id = 2; id < 12; id += 1) {
    send(call(id, "m25_mail_add_user", { email: `u${id}@example.nl`, password: "correct horse" }));
  }
  child.stdin.end();
  expect(await finished).toMatchObject({ code: 0, stderr: madeDatabase });
});

test("a killed client leaves no program behind, and no crash", async () => {
  const { send, answers, child, finished } = session(newDatabase());
  send(initialize);
  await expect.poll(() => answers.length).toBe(1);
  child.stdout.destroy();
  send(call(1, "m25_mail_list_domains", {}));
  child.stdin.destroy();
  const { code, stderr } = await finished;
  expect(code).toBe(0);
  expect(stderr).not.toMatch(/unsettled|uncaught|unhandled/i);
});

const canary = "canary-Hunter22";

/** Messages that are refused, each with the code and the id of its answer. */
const refused: ReadonlyArray<[what: string, line: string, code: number, id: unknown]> = [
  ["not JSON", `password=${canary}`, -32700, null],
  ["cut short", `{"jsonrpc":"2.0","id":9,"method":"ping","params":{"password":"${canary}`, -32700, null],
  ["a number", "5", -32600, null],
  ["null", "null", -32600, null],
  ["a text", `"${canary}"`, -32600, null],
  ["not JSON-RPC", `{"password":"${canary}"}`, -32600, null],
  [
    "a request whose params are a text",
    `{"jsonrpc":"2.0","id":9,"method":"ping","params":"${canary}"}`,
    -32600,
    9,
  ],
  ["a request without a version", `{"id":"nine","method":"ping"}`, -32600, "nine"],
  ["a batch", JSON.stringify([call(1, "m25_mail_list_domains", {}), call(2, canary, {})]), -32600, null],
  ["an empty batch", "[]", -32600, null],
  ["larger than any message", `{"password":"${canary}${"x".repeat(12_000_000)}"}`, -32600, null],
];

function expectRefusal(answer: string | undefined, code: number, id: unknown): void {
  expect(JSON.parse(answer ?? "")).toEqual({
    jsonrpc: "2.0",
    id,
    error: { code, message: expect.stringMatching(/^This message is refused: .*\.$/) },
  });
}

test.each(refused)(
  "a first message that is %s gets one answer and one plain line in the log, and the client may continue",
  async (what, line, code, id) => {
    const { send, answers, child, finished } = session(newDatabase());
    send(line);
    send("");
    send(initialize);
    send(call(3, "m25_mail_list_domains", {}));
    await expect.poll(() => answers.length).toBe(3);
    child.stdin.end();
    const { code: exit, stdout, stderr } = await finished;
    expect(exit).toBe(0);
    const [error, ...others] = answers.toSorted((one) => (one.includes('"error"') ? -1 : 1));
    expectRefusal(error, code, id);
    if (what.includes("batch")) expect(error).toContain("send one at a time");
    expect(others.map((answer) => JSON.parse(answer))).toMatchObject([
      { id: 0 },
      { id: 3, result: { structuredContent: { total: 0 } } },
    ]);
    expect(stderr.split("\n")).toEqual([
      expect.stringContaining("made a new database"),
      expect.stringMatching(/^\S+ warn refused a message on stdin: [a-z0-9 ,:-]+$/i),
      "",
    ]);
    expect(stdout + stderr).not.toContain("Hunter");
  },
);

test("later messages like these get an answer each, and the client may continue", async () => {
  const { send, answers, child, finished } = session(newDatabase());
  send(initialize);
  await expect.poll(() => answers.length).toBe(1);
  for (const [index, [_what, line, code, id]] of refused.entries()) {
    send(line);
    await expect.poll(() => answers.length).toBe(2 * index + 2);
    expectRefusal(answers.at(-1), code, id);
    send(call(100 + index, "m25_mail_list_domains", {}));
    await expect.poll(() => answers.length).toBe(2 * index + 3);
    expect(JSON.parse(answers.at(-1) ?? "")).toMatchObject({
      id: 100 + index,
      result: { structuredContent: { total: 0 } },
    });
  }
  child.stdin.end();
  const { code, stdout, stderr } = await finished;
  expect(code).toBe(0);
  for (const line of stderr.trimEnd().split("\n").slice(1)) expect(line).toMatch(/^\S+ warn [a-z0-9 ,:-]+$/i);
  expect(stdout + stderr).not.toContain("Hunter");
});

test("arguments that are not an object are invalid input, without the protocol library's words", async () => {
  const { send, answers, child, finished } = session(newDatabase());
  send(initialize);
  const inputs = [[], [canary], canary];
  for (const [id, input] of inputs.entries()) send(call(id + 1, "m25_mail_add_domain", input as never));
  await expect.poll(() => answers.length).toBe(4);
  child.stdin.end();
  const { stdout, stderr } = await finished;
  for (const answer of answers.slice(1)) {
    expect(JSON.parse(answer).result).toMatchObject({
      isError: true,
      content: [{ text: "invalid_input: The input must be a JSON object. This call takes domain." }],
    });
  }
  expect(stdout + stderr).not.toContain("Hunter");
});

test("invalid messages do not fill the log, because nobody may be reading", async () => {
  const { send, answers, child, finished } = session(newDatabase());
  for (let n = 0; n < 2000; n += 1) send(`${canary} ${n}`);
  await expect.poll(() => answers.length).toBe(2000);
  child.stdin.end();
  expect((await finished).stderr.split("\n")).toHaveLength(3);
});

const notification = (envelope: object) => ({
  jsonrpc: "2.0",
  method: "notifications/initialized",
  params: { _meta: envelope },
});

test.each<[what: string, message: object]>([
  ["an answer without a question", { jsonrpc: "2.0", id: 7, result: {} }],
  [
    "a notification of an unknown revision",
    notification({
      "io.modelcontextprotocol/protocolVersion": "2099-01-01",
      "io.modelcontextprotocol/clientInfo": { name: "test", version: "1" },
      "io.modelcontextprotocol/clientCapabilities": {},
    }),
  ],
  [
    "a notification whose envelope is incomplete",
    notification({ "io.modelcontextprotocol/protocolVersion": "2026-07-28" }),
  ],
])("%s is not logged as the server's fault", async (_what, message) => {
  const { send, answers, child, finished } = session(newDatabase());
  send(message);
  send(initialize);
  await expect.poll(() => answers.length).toBe(1);
  child.stdin.end();
  expect((await finished).stderr).toMatch(/ warn refused a message on stdin: it does not fit [^\n]*\n$/);
});

test("an unreadable answer gets no answer, because two such programs would answer each other for ever", async () => {
  const { send, answers, child, finished } = session(newDatabase());
  send("no JSON");
  await expect.poll(() => answers.length).toBe(1);
  send(answers[0]);
  send({ jsonrpc: "2.0", id: 4, result: "a text" });
  send(initialize);
  await expect.poll(() => answers.some((line) => line.includes('"id":0'))).toBe(true);
  child.stdin.end();
  expect((await finished).stderr).toMatch(/ warn refused a message on stdin: it is not a JSON-RPC message\n/);
  expect(answers).toHaveLength(2);
});

test("a message in many chunks is one message, and many in one chunk are many", async () => {
  const { send, answers, child } = session(newDatabase());
  const domain = `${"b\u00fccher".repeat(2)}.example`;
  const text = `${JSON.stringify(initialize)}\r\n\n${JSON.stringify(call(1, "m25_mail_add_domain", { domain }))}\n`;
  for (const byte of Buffer.from(text)) {
    await new Promise((resolve) => child.stdin.write(Uint8Array.of(byte), resolve));
  }
  await expect.poll(() => answers.length).toBe(2);
  expect(JSON.parse(answers[1] ?? "")).toMatchObject({
    id: 1,
    result: { structuredContent: { revision: 1 } },
  });
  send([3, 4, 5].map((id) => JSON.stringify(call(id, "m25_mail_list_domains", {}))).join("\n"));
  await expect.poll(() => answers.length).toBe(5);
});

test("a byte order mark before the first message is skipped, because some Windows shells add one", async () => {
  const { send, answers } = session(newDatabase());
  send(`\uFEFF${JSON.stringify(initialize)}`);
  await expect.poll(() => answers.length).toBe(1);
  send(`\uFEFF${JSON.stringify(call(1, "m25_mail_list_domains", {}))}`);
  await expect.poll(() => answers.length).toBe(2);
  send(call(2, "m25_mail_list_domains", {}));
  await expect.poll(() => answers.length).toBe(3);
  expect(answers.map((line) => JSON.parse(line))).toMatchObject([
    { id: 0, result: { serverInfo: { name: "m25-mail" } } },
    { id: null, error: { message: "This message is refused: it is not JSON." } },
    { id: 2, result: { structuredContent: { total: 0 } } },
  ]);
});

test("wrong params are refused in plain words over stdio too", async () => {
  const { send, answers } = session(newDatabase());
  const { clientInfo: _, ...nameless } = initialize.params;
  send({ ...initialize, params: nameless });
  await expect.poll(() => answers.length).toBe(1);
  send(initialize);
  send({ jsonrpc: "2.0", id: 1, method: "tools/list", params: { cursor: 5 } });
  await expect.poll(() => answers.length).toBe(3);
  const errors = answers.map((line) => JSON.parse(line).error?.message);
  expect(errors).toEqual([
    expect.stringMatching(/^The params of initialize .*clientInfo/),
    undefined,
    expect.stringMatching(/^The params of tools\/list .*leave it out/),
  ]);
});

test("a signal ends the program and loses nothing", async () => {
  const { send, answers, child, finished } = session(newDatabase());
  send(initialize);
  await expect.poll(() => answers.length).toBe(1);
  child.kill("SIGTERM");
  expect(await finished).toMatchObject({ code: 0, stderr: madeDatabase });
});

/** A Node that cannot load fastify. */
const withoutHttp = encodeURIComponent(`
  import { registerHooks } from "node:module";
  registerHooks({
    resolve(specifier, context, next) {
      if (specifier === "fastify") throw new Error("fastify was asked for");
      return next(specifier, context);
    },
  });
`);

test("a start over stdio loads no HTTP code", async () => {
  const environment = { NODE_OPTIONS: `--import=data:text/javascript,${withoutHttp}` };
  const stdio = startM25mail(["stdio", "--db", newDatabase()], { environment });
  const answer = once(stdio.child.stdout, "data");
  stdio.child.stdin.write(`${JSON.stringify(initialize)}\n`);
  expect(JSON.parse(String(await answer))).toMatchObject({ id: 0, result: {} });
  stdio.child.stdin.end();
  expect(await stdio.finished).toMatchObject({ code: 0 });
  const serve = startM25mail(["serve", "--db", newDatabase(), "--port", "0"], { environment });
  expect((await serve.finished).stderr).toContain("at resolve (data:text/javascript");
});
