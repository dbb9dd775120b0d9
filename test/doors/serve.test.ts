import { once } from "node:events";
import { existsSync, readFileSync, symlinkSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { connect } from "node:net";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { openStore } from "../../db/sqlite/store.ts";
import { certificate } from "../support/certificate.ts";
import { http } from "../support/http.ts";
import { m25mail, serveProcess, startM25mail } from "../support/program.ts";
import { temporaryFolder } from "../support/store.ts";

const newDatabase = () => join(temporaryFolder(), "m25-mail.db");

test("a server logs the addresses that it listens on, and warns if others can reach it in plain HTTP", async () => {
  const stderrOf = async (...flags: string[]) => {
    const server = await serveProcess(newDatabase(), flags);
    server.child.kill("SIGTERM");
    return (await server.finished).stderr;
  };
  expect(await stderrOf("--host", "0.0.0.0")).toMatch(
    /warn .*http:\/\/0\.0\.0\.0:\d+ unencrypted.*--tls-cert.*--trusted-proxies.*\n.*serves http:\/\/0\.0\.0\.0:\d+ /,
  );
  expect(await stderrOf("--host", "0.0.0.0", "--trusted-proxies", "127.0.0.1")).not.toContain("unencrypted");
  expect(await stderrOf("--host", "127.0.0.2")).toMatch(/^(?!.*unencrypted).*serves http:\/\/127\.0\.0\.2:/s);
  const { cert, key } = certificate();
  const encrypted = await stderrOf("--host", "0.0.0.0", "--tls-cert", cert, "--tls-key", key);
  expect(encrypted).toContain("serves https://0.0.0.0:");
  expect(encrypted).not.toContain("unencrypted");
});

test("a port in use is reported in plain words", async () => {
  const other = createServer().listen(0, "127.0.0.1");
  await once(other, "listening");
  onTestFinished(() => void other.close());
  const { port } = other.address() as AddressInfo;
  const answer = await m25mail(["serve", "--db", newDatabase(), "--port", String(port)]);
  expect(answer).toMatchObject({ code: 1, stdout: "" });
  expect(answer.stderr).toMatch(/port \d+ is in use.*127\.0\.0\.1.*\n.*--port/);
  expect(answer.stderr).not.toMatch(/^ +at /m);
});

test.each([
  [["--port", "70000"], /--port is above 65535/],
  [["--port", "mail"], /--port is not a whole number/],
  [["--port", ""], /--port is not a whole number/],
  [["--port", "0x50"], /--port is not a whole number/],
  [["--purge-inactive-after", "0"], /--purge-inactive-after is below 1/],
  [["--hash-cost", "9"], /--hash-cost is below 10/],
  [["--hash-cost", "15"], /--hash-cost is above 14/],
  [["--public-url", "mail.example.nl"], /--public-url is not an http\(s\) URL/],
  [["--nonsense"], /--nonsense/],
  [["extra"], /too many arguments/],
])("serve %j is wrong usage", async (flags, words) => {
  const database = newDatabase();
  const answer = await m25mail(["serve", "--db", database, ...flags]);
  expect(answer).toMatchObject({ code: 2, stdout: "" });
  expect(answer.stderr).toMatch(words);
  expect(existsSync(database)).toBe(false);
});

test("the write-ahead log of a database behind a link is looked for beside the real file", async () => {
  const [folder, other] = [temporaryFolder(), temporaryFolder()];
  const file = join(folder, "m25-mail.db");
  await openStore(file, { create: true }).close();
  const link = join(other, "link.db");
  symlinkSync(file, link);
  const { url } = await serveProcess(link);
  const token = readFileSync(join(folder, "first-token"), "utf8").trim();
  const { body } = await http(`${url}/metrics`, { headers: { authorization: `Bearer ${token}` } });
  expect(body).toMatch(/database_bytes\{file="wal"\} [1-9]/);
});

test("settings come from the environment, and a flag overrides them", async () => {
  const database = newDatabase();
  const environment = {
    M25_MAIL_DB: database,
    M25_MAIL_PORT: "70000",
    M25_MAIL_ALLOWED_HOSTS: "m25.example",
  };
  expect(await m25mail(["serve"], { environment })).toMatchObject({ code: 2 });
  const running = startM25mail(["serve", "--port", "0"], { environment });
  const [, url = ""] = await running.says(/serves (\S+)/);
  expect((await http(`${url}/healthz`, { headers: { host: "m25.example" } })).status).toBe(200);
  expect(existsSync(database)).toBe(true);
});

test("a server stops even if a caller holds its connection and does not read", async () => {
  const server = await serveProcess(newDatabase());
  const { port } = new URL(server.url);
  const socket = connect(Number(port), "127.0.0.1");
  socket.on("error", () => {});
  await new Promise((resolve) =>
    socket.write("POST /api/add-domain HTTP/1.1\r\nHost: localhost\r\n", resolve),
  );
  await http(`${server.url}/healthz`);
  server.child.kill("SIGTERM");
  expect(await server.finished).toMatchObject({ code: 0 });
  socket.destroy();
});

test("a killed server keeps every change that it answered", async () => {
  const database = newDatabase();
  const server = await serveProcess(database);
  const token = readFileSync(join(database, "..", "first-token"), "utf8").trim();
  const calls = Array.from({ length: 20 }, (_, index) =>
    http(`${server.url}/api/add-domain`, {
      method: "POST",
      headers: { authorization: `Bearer ${token}`, "content-type": "application/json" },
      body: JSON.stringify({ domain: `d${index}.nl` }),
    }).then(
      ({ status }) => status,
      () => 0,
    ),
  );
  await calls[0];
  server.child.kill("SIGKILL");
  const done = (await Promise.all(calls)).filter((status) => status === 200).length;
  const listed = await m25mail(["call", "list-domains", "--json", "--db", database]);
  const { total } = JSON.parse(listed.stdout);
  expect(total).toBeGreaterThanOrEqual(done); // every answered change is kept
  expect(total).toBeLessThanOrEqual(20);
});

test("repeated signals change nothing: under npm one Ctrl-C arrives twice", async () => {
  const commands = [
    { command: ["serve", "--port", "0"], ready: /serves http/ },
    { command: ["stdio"], ready: /made a new database/ },
  ];
  for (const { command, ready } of commands) {
    const running = startM25mail([...command, "--db", join(temporaryFolder(), "m25-mail.db")]);
    await running.says(ready);
    const again = setInterval(() => running.child.kill("SIGINT"), 1);
    const { code } = await running.finished.finally(() => clearInterval(again));
    expect(code, command[0]).toBe(0);
  }
});
