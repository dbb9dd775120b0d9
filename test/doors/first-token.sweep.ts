import { once } from "node:events";
import { existsSync, mkdirSync, readdirSync, readFileSync, rmdirSync, rmSync, statSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { openStore } from "../../db/sqlite/store.ts";
import { http } from "../support/http.ts";
import { m25mail, serveProcess } from "../support/program.ts";
import { temporaryFolder } from "../support/store.ts";

const newDatabase = () => join(temporaryFolder(), "m25-mail.db");

test("a new server makes its first token, writes it to a private file, and says where", async () => {
  const database = newDatabase();
  const server = await serveProcess(database);
  const [, file = ""] = await server.says(/first access token is in (\S+first-token)/);
  expect(file).toBe(join(database, "..", "first-token"));
  expect((statSync(file).mode & 0o777).toString(8)).toBe("600");
  const token = readFileSync(file, "utf8").trim();
  const answer = await http(`${server.url}/api/list-domains`, {
    headers: { authorization: `Bearer ${token}` },
  });
  expect(answer.status).toBe(200);
  server.child.kill("SIGTERM");
  const { code, stdout, stderr } = await server.finished;
  expect({ code, stdout }).toEqual({ code: 0, stdout: "" });
  expect(stderr).not.toContain(token);
});

test("the first start says in three lines what to do next, with the database's flag; a later one does not", async () => {
  const database = newDatabase();
  const next = /next, .*/g;
  const start = async () => {
    const server = await serveProcess(database);
    server.child.kill("SIGTERM");
    return (await server.finished).stderr.match(next) ?? [];
  };
  const said = await start();
  expect(said).toHaveLength(3);
  expect(said[0]).toContain(`m25-mail domain add example.nl --db ${database}, then m25-mail user add`);
  expect(said[1]).toContain("m25-mail node add");
  expect(said[2]).toMatch(/m25-mail operator set-password .*, then open http:\/\/127\.0\.0\.1:\d+\/$/);
  expect(await start()).toEqual([]);
});

test("a server that has a token makes no other", async () => {
  const database = newDatabase();
  const first = await serveProcess(database);
  first.child.kill("SIGTERM");
  await first.finished;
  const file = join(database, "..", "first-token");
  const token = readFileSync(file, "utf8");
  const second = await serveProcess(database);
  second.child.kill("SIGINT");
  expect(await second.finished).toMatchObject({
    code: 0,
    stderr: expect.stringContaining(`the first access token is in ${file}`),
  });
  expect(readFileSync(file, "utf8")).toBe(token);
  rmSync(file);
  const third = await serveProcess(database);
  third.child.kill("SIGINT");
  expect(await third.finished).toMatchObject({
    code: 0,
    stderr: expect.not.stringContaining("first access token"),
  });
  expect((await m25mail(["token", "list", "--json", "--db", database])).stdout.match(/"name"/g)).toHaveLength(
    1,
  );
});

test("a second database in the same folder keeps the first one's token file and says what to do", async () => {
  const database = newDatabase();
  const file = join(database, "..", "first-token");
  const other = join(database, "..", "other.db");
  const first = await serveProcess(database);
  first.child.kill("SIGTERM");
  await first.finished;
  const token = readFileSync(file, "utf8");
  const unmade = await m25mail(["serve", "--db", other, "--port", "0"]);
  expect(unmade).toMatchObject({ code: 1, stdout: "" });
  expect(unmade.stderr).toMatch(/^unavailable: .*first-token/);
  expect(readdirSync(join(database, "..")).filter((name) => name.startsWith("other"))).toEqual([]);
  await openStore(other, { create: true }).close(); // as stdio creates it
  const refused = await m25mail(["serve", "--db", other, "--port", "0"]);
  expect(refused).toMatchObject({ code: 1, stdout: "" });
  expect(refused.stderr).toMatch(/^unavailable: .*first-token.*\n.*m25-mail token create/m);
  expect(readFileSync(file, "utf8")).toBe(token);
  expect((await m25mail(["token", "create", "mine", "--db", other])).code).toBe(0);
  const second = await serveProcess(other);
  second.child.kill("SIGTERM");
  expect((await second.finished).stderr).not.toContain("first access token");
  expect(readFileSync(file, "utf8")).toBe(token);
});

test("a new database is announced, and its token too, even after a failed start", async () => {
  const other = createServer().listen(0, "127.0.0.1");
  await once(other, "listening");
  onTestFinished(() => void other.close());
  const { port } = other.address() as AddressInfo;
  const database = newDatabase();
  const failed = await m25mail(["serve", "--db", database, "--port", String(port)]);
  expect(failed).toMatchObject({
    code: 1,
    stderr: expect.stringContaining(`made a new database ${database}`),
  });
  const server = await serveProcess(database);
  server.child.kill("SIGTERM");
  const { stderr } = await server.finished;
  expect(stderr).toContain("the first access token is in");
  expect(stderr).not.toContain("made a new database");
});

test("a server whose tokens were all revoked makes no other", async () => {
  const database = newDatabase();
  const file = join(database, "..", "first-token");
  const first = await serveProcess(database);
  first.child.kill("SIGTERM");
  await first.finished;
  rmSync(file);
  expect((await m25mail(["token", "revoke", "first", "--db", database])).code).toBe(0);
  await serveProcess(database);
  expect(existsSync(file)).toBe(false);
  expect((await m25mail(["token", "list", "--db", database])).stdout).toContain("no tokens");
});

test("a first token that cannot be written is not made, and the server says so and ends", async () => {
  const database = newDatabase();
  await openStore(database, { create: true }).close();
  const file = join(database, "..", "first-token");
  mkdirSync(file);
  const answer = await m25mail(["serve", "--db", database, "--port", "0"]);
  expect(answer).toMatchObject({ code: 1, stdout: "" });
  expect(answer.stderr).toMatch(/^unavailable: .*first-token.*\n.*m25-mail token create/m);
  expect((await m25mail(["token", "list", "--db", database])).stdout).toContain("no tokens");
  rmdirSync(file);
  await (await serveProcess(database)).says(/first access token is in/);
});
