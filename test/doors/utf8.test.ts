import { execFile } from "node:child_process";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";
import bcrypt from "bcrypt";
import fc from "fast-check";
import { expect, test } from "vitest";
import { openStore } from "../../db/sqlite/store.ts";
import { textOf } from "../../src/doors/utf8.ts";
import { ENTRY, m25mail, startM25mail } from "../support/program.ts";
import { rawDatabase } from "../support/recount.ts";
import { startServer } from "../support/server.ts";
import { temporaryFolder, testRuntime } from "../support/store.ts";

const BROKEN = Buffer.from([0xc3, 0x28]);
const MARK = Buffer.from([0xef, 0xbb, 0xbf]);

async function shell() {
  const folder = temporaryFolder();
  const database = join(folder, "m25-mail.db");
  const store = openStore(database, { create: true });
  await testRuntime(store).must("add-domain", { domain: "example.nl" });
  await store.close();
  const hash = () =>
    rawDatabase(database).prepare<[], string>("SELECT password_hash FROM users").pluck().get();
  return {
    folder,
    database,
    hash,
    addJan: ["call", "add-user", "--email", "jan@example.nl", "--db", database],
  };
}

test("any bytes decode to their exact text, or are refused", () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 12 }), (bytes) => {
      const text = textOf(bytes, false);
      if (text !== undefined) expect(Buffer.from(text)).toEqual(Buffer.from(bytes));
      else expect(Buffer.from(bytes).toString()).toContain("\uFFFD");
    }),
    { numRuns: 2000 },
  );
});

test("a password file that is not UTF-8 is refused, and a byte order mark is not part of the password", async () => {
  const { folder, addJan, hash } = await shell();
  const file = join(folder, "password");
  writeFileSync(file, Buffer.concat([Buffer.from("correct "), BROKEN, Buffer.from("horse\n")]));
  const refused = await m25mail([...addJan, "--password-file", file]);
  expect(refused).toMatchObject({ code: 2, stdout: "", stderr: expect.stringContaining("not valid UTF-8") });
  expect(hash()).toBeUndefined();
  writeFileSync(file, Buffer.concat([MARK, Buffer.from("correct horse\r\n")]));
  expect(await m25mail([...addJan, "--password-file", file])).toMatchObject({ code: 0 });
  expect(await bcrypt.compare("correct horse", (hash() ?? "").replace("{BLF-CRYPT}", ""))).toBe(true);
});

test("a password on standard input that is not UTF-8 is refused", async () => {
  const { addJan, hash } = await shell();
  const { child, finished } = startM25mail(addJan);
  child.stdin.end(Buffer.concat([Buffer.from("correct "), BROKEN, Buffer.from("horse\n")]));
  expect(await finished).toMatchObject({ code: 2, stderr: expect.stringContaining("not valid UTF-8") });
  expect(hash()).toBeUndefined();
});

test("an argument that is not UTF-8 is refused", async () => {
  const { database } = await shell();
  const script = `exec "$1" "$2" call list-users --search $'ja\\xc3\\x28' --db "$3"`;
  const args = ["-c", script, "bash", process.execPath, ENTRY, database];
  await expect(promisify(execFile)("bash", args)).rejects.toMatchObject({
    code: 2,
    stderr: expect.stringContaining("not valid UTF-8"),
  });
});

test("a body of REST or MCP that is not UTF-8 is refused as a whole", async () => {
  const server = await startServer();
  await server.api("add-domain", { domain: "example.nl" });
  const user = JSON.stringify({ email: "jan@example.nl", password: "correct #horse" });
  const message = JSON.stringify({
    jsonrpc: "2.0",
    id: 1,
    method: "tools/call",
    params: { name: "m25_mail_add_user", arguments: JSON.parse(user) },
  });
  for (const [path, text, words] of [
    ["/api/add-user", user, "not valid UTF-8"],
    ["/mcp", message, "not JSON in UTF-8"],
  ] as const) {
    const [before = "", after = ""] = text.split("#");
    const response = await fetch(`${server.url}${path}`, {
      method: "POST",
      headers: {
        authorization: `Bearer ${server.token}`,
        "content-type": "application/json",
        accept: "application/json, text/event-stream",
      },
      body: Buffer.concat([Buffer.from(before), BROKEN, Buffer.from(after)]),
    });
    expect(response.status).toBe(400);
    expect(await response.text()).toContain(words);
  }
  expect((await server.api("list-users")).body).toMatchObject({ total: 0 });
});

test("an unpaired surrogate in JSON, or a query escape that is not UTF-8, is refused", async () => {
  const server = await startServer();
  await server.api("add-domain", { domain: "example.nl" });
  const post = (body: string) =>
    fetch(`${server.url}/api/add-user`, {
      method: "POST",
      headers: { authorization: `Bearer ${server.token}`, "content-type": "application/json" },
      body,
    });
  for (const half of ["\\ud800", "\\udc00"]) {
    expect((await post(`{"email":"jan@example.nl","password":"correct${half} horse"}`)).status).toBe(400);
    expect((await post(`{"email":"ja${half}@example.nl","password":"correct horse"}`)).status).toBe(400);
  }
  for (const query of ["search=ja%C3%28", "domain=b%FFcher.example", "cursor=%ED%A0%80"])
    expect((await server.api(`list-users?${query}`)).status).toBe(400);
});

test("a message over stdio that is not UTF-8 is refused, and the next one is answered", async () => {
  const { child, finished } = startM25mail(["stdio", "--db", join(temporaryFolder(), "m25-mail.db")]);
  child.stdin.write(
    Buffer.concat([
      Buffer.from('{"jsonrpc":"2.0","id":1,"method":"ping","params":{"x":"'),
      BROKEN,
      Buffer.from('"}}\n'),
    ]),
  );
  child.stdin.end('{"jsonrpc":"2.0","id":2,"method":"ping"}\n');
  const { stdout } = await finished;
  const answers = stdout
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line));
  expect(answers[0]).toMatchObject({
    id: null,
    error: { message: expect.stringContaining("not valid UTF-8") },
  });
  expect(answers).toContainEqual(expect.objectContaining({ id: 2 }));
});
