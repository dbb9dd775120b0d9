import { join } from "node:path";
import { expect, test } from "vitest";
import { callTool, connectStdio } from "../support/clients.ts";
import { startM25mail } from "../support/program.ts";
import { temporaryFolder } from "../support/store.ts";

const newDatabase = () => join(temporaryFolder(), "m25-mail.db");
/** All that is said of a session on a new database. */
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

test("stdout carries JSON-RPC and nothing else, whatever comes in", async () => {
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
  await expect.poll(() => answers.some((line) => line.includes('"id":4')), { timeout: 10_000 }).toBe(true);
  child.stdin.end();
  const { code, stdout, stderr } = await finished;
  expect(code).toBe(0);
  for (const line of stdout.trimEnd().split("\n")) {
    expect(JSON.parse(line), line).toMatchObject({ jsonrpc: "2.0" });
  }
  expect(stdout + stderr).not.toContain("Hunter");
});

test("the program ends when its client goes away, and the database has what was answered", async () => {
  const database = newDatabase();
  const { send, answers, child, finished } = session(database);
  send(initialize);
  send(call(1, "m25_mail_add_domain", { domain: "example.nl" }));
  await expect.poll(() => answers.length, { timeout: 10_000 }).toBe(2);
  child.stdin.end();
  expect(await finished).toMatchObject({ code: 0, stderr: madeDatabase });
  const again = await connectStdio("2.x legacy", database);
  expect((await callTool(again, "list-domains")).structuredContent).toMatchObject({ total: 1 });
});

test("a client that goes away in the middle of a call is no bug to report", async () => {
  const { send, answers, child, finished } = session(newDatabase());
  send(initialize);
  send(call(1, "m25_mail_add_domain", { domain: "example.nl" }));
  await expect.poll(() => answers.length, { timeout: 10_000 }).toBe(2);
  for (let id = 2; id < 12; id += 1) {
    send(call(id, "m25_mail_add_user", { email: `u${id}@example.nl`, password: "correct horse" }));
  }
  child.stdin.end();
  expect(await finished).toMatchObject({ code: 0, stderr: madeDatabase });
});

test("a client that is killed leaves no program behind, and no crash", async () => {
  const { send, answers, child, finished } = session(newDatabase());
  send(initialize);
  await expect.poll(() => answers.length, { timeout: 10_000 }).toBe(1);
  child.stdout.destroy();
  send(call(1, "m25_mail_list_domains", {}));
  child.stdin.destroy();
  const { code, stderr } = await finished;
  expect(code).toBe(0);
  expect(stderr).not.toMatch(/unsettled|uncaught|unhandled/i);
});

test("a message beyond all bounds ends the connection, with a word and no crash", async () => {
  const { child, finished } = session(newDatabase());
  child.stdin.write(`{"password":"canary-Hunter22${"x".repeat(12_000_000)}`);
  const { code, stdout, stderr } = await finished;
  expect({ code, stdout }).toEqual({ code: 0, stdout: "" });
  expect(stderr).toContain("could not be served");
  expect(stderr).not.toContain("Hunter");
});

test("a signal ends the program with everything kept", async () => {
  const { send, answers, child, finished } = session(newDatabase());
  send(initialize);
  await expect.poll(() => answers.length, { timeout: 10_000 }).toBe(1);
  child.kill("SIGTERM");
  expect(await finished).toMatchObject({ code: 0, stderr: madeDatabase });
});

test("starting over stdio loads neither the HTTP stack nor anything of it", async () => {
  const traced = startM25mail(["stdio", "--db", newDatabase()], {
    environment: { NODE_DEBUG: "esm,module" },
  });
  traced.child.stdin.end();
  const { stderr } = await traced.finished;
  expect(stderr).toContain("better-sqlite3");
  expect(stderr).not.toMatch(/node_modules\/fastify\//);
});
