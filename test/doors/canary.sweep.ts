import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { tools } from "../../tools/index.ts";
import { callTool, connectHttp, connectStdio, type McpClient } from "../support/clients.ts";
import { type HttpAnswer, http } from "../support/http.ts";
import { m25mail, type Running, serveProcess } from "../support/program.ts";
import { temporaryFolder, toolOf } from "../support/store.ts";

/** A password that no other field accepts, so that any occurrence of it is the password. */
const CANARY = "Canary!Hunter22#secret";

type Input = Record<string, unknown>;
type Door = (endpoint: string, input: Input) => Promise<string>;

/** Valid input for each tool, on a database where some of it exists. `n` makes it new. */
function good(endpoint: string, n: string): Input {
  switch (endpoint) {
    case "add-domain":
    case "remove-domain":
      return { domain: `d${n}.nl` };
    case "add-user":
      return { email: `u${n}@example.nl`, password: CANARY };
    case "update-password":
      return { email: "jan@example.nl", password: CANARY };
    case "remove-user":
      return { email: `u${n}@example.nl`, hard_delete: true };
    case "add-node":
      return { name: `node-${n}` };
    default:
      return {};
  }
}

/** Returns invalid inputs of a tool, each with the canary in it. */
function bad(endpoint: string): Input[] {
  const fields = Object.keys(toolOf(endpoint).input.shape);
  const each = fields.map((field) => ({ ...good(endpoint, "x"), [field]: CANARY }));
  const passwords = ["", "\n", "\0"].map((odd) => ({
    email: "jan@example.nl",
    password: `${CANARY}${odd}`.repeat(4),
  }));
  return [
    ...each,
    { ...good(endpoint, "x"), [CANARY]: 1 },
    { ...good(endpoint, "x"), passwort: CANARY },
    ...(fields.includes("password") ? [...passwords, { email: "no@example.nl", password: CANARY }] : []),
  ];
}

function mcpDoor(client: McpClient): Door {
  return async (endpoint, input) => JSON.stringify(await callTool(client, endpoint, input));
}

function restDoor(url: string, token: string): Door {
  const authorization = `Bearer ${token}`;
  return async (endpoint, input) => {
    const reads = toolOf(endpoint).effect === "read";
    const query = new URLSearchParams(input as Record<string, string>);
    const answer = await http(`${url}/api/${endpoint}${reads ? `?${query}` : ""}`, {
      method: reads ? "GET" : "POST",
      headers: { authorization, "content-type": "application/json" },
      ...(!reads && { body: JSON.stringify(input) }),
    });
    return JSON.stringify(answer);
  };
}

function cliDoor(database: string): Door {
  return async (endpoint, { password, ...input }) => {
    const flags = Object.entries(input).map(([field, value]) =>
      value === true ? `--${field.replaceAll("_", "-")}` : `--${field.replaceAll("_", "-")}=${value}`,
    );
    const args = ["call", endpoint, "--db", database, ...flags];
    const { stdout, stderr } = await m25mail(args, { input: `${password ?? ""}\n` });
    // The name of an unknown flag is the caller's own text, and is shown to say what is wrong.
    return stdout + stderr.replace(`no flag --${CANARY}`, "");
  };
}

/** Sends requests with a secret in every wrong place, and in unreadable messages. */
function misplaced(url: string, token: string, secret: string): Array<Promise<HttpAnswer>> {
  const query = new URLSearchParams({ access_token: secret, [secret]: secret });
  const headers = {
    authorization: `Bearer ${token}`,
    "content-type": "application/json",
    "user-agent": `${secret} ${secret}`,
    "x-forwarded-for": secret,
    "x-request-id": secret,
    cookie: `token=${secret}`,
  };
  const paths = ["/api/add-user", "/mcp", "/metrics", "/sync/v1/maps", "/sync/v1/report", `/${query}`];
  const bodies = [
    `{"email":"jan@example.nl","password":"${secret}`,
    `"${secret}"`,
    secret,
    `[{"${secret}":1}]`,
  ];
  const names: Array<Record<string, string>> = [
    { host: secret },
    { origin: `https://${secret}` },
    { authorization: secret },
  ];
  return [
    ...paths.flatMap((path) =>
      bodies.map((body) => http(`${url}${path}?${query}`, { method: "POST", headers, body })),
    ),
    ...names.map((named) => http(`${url}/api/list-domains?${query}`, { headers: named })),
  ];
}

/** Returns the content of every file in the database's folder. */
function onDisk(folder: string): Array<[string, string]> {
  return readdirSync(folder)
    .filter((name) => name !== "first-token")
    .map((name) => [name, readFileSync(join(folder, name), "latin1")]);
}

function expectNone(seen: ReadonlyArray<readonly [string, string]>, secret: string): void {
  const forms = [
    secret,
    encodeURIComponent(secret),
    new URLSearchParams([["", secret]]).toString().slice(1),
    Buffer.from(secret).toString("base64").slice(0, -4),
    Buffer.from(secret).toString("hex"),
  ];
  for (const [where, text] of seen) {
    for (const form of forms) {
      const at = text.toLowerCase().indexOf(form.toLowerCase());
      expect(at < 0 ? "" : text.slice(Math.max(0, at - 80), at + 80), where).toBe("");
    }
  }
}

test("passwords, keys and tokens appear in no answer, log or file", async () => {
  const folder = temporaryFolder();
  const database = join(folder, "m25-mail.db");
  const server: Running & { url: string } = await serveProcess(database, ["--log-level", "debug"]);
  const jsonServer = await serveProcess(database, ["--log-format", "json", "--log-level", "debug"]);
  const token = readFileSync(join(folder, "first-token"), "utf8").trim();
  const stdioLog: string[] = [];
  const doors: Record<string, Door> = {
    rest: restDoor(server.url, token),
    http: mcpDoor(await connectHttp("1.x", jsonServer.url, token)),
    stdio: mcpDoor(await connectStdio("2.x 2026-07-28", database, stdioLog)),
  };
  const seen: Array<[string, string]> = [];
  const keys: string[] = [];
  let succeeded = 0;
  await doors.rest?.("add-domain", { domain: "example.nl" });
  await doors.rest?.("add-user", { email: "jan@example.nl", password: "another password" });
  for (const [name, door] of Object.entries(doors)) {
    for (const { endpoint } of [...tools, ...tools]) {
      const answer = await door(endpoint, good(endpoint, name));
      const [, key] = /(m25key_\w+)/.exec(answer) ?? [];
      if (key !== undefined) keys.push(key);
      else seen.push([`${name} ${endpoint}`, answer]);
      if (!/isError":true|"status":[45]/.test(answer)) succeeded += 1;
    }
    for (const { endpoint } of tools) {
      for (const input of bad(endpoint)) {
        seen.push([`${name} ${endpoint} ${Object.keys(input)}`, await door(endpoint, input)]);
      }
    }
  }
  const cli = cliDoor(database);
  const commands = ["add-user", "update-password", "list-users"].flatMap((endpoint) => [
    [endpoint, good(endpoint, "cli")] as const,
    ...bad(endpoint).map((input) => [endpoint, input] as const),
  ]);
  seen.push(
    ...(await Promise.all(
      commands.map(
        async ([endpoint, input]): Promise<[string, string]> => [
          `cli ${endpoint}`,
          await cli(endpoint, input),
        ],
      ),
    )),
  );
  expect(keys).toHaveLength(3);
  expect(succeeded).toBeGreaterThan(30);
  expect(seen.length).toBeGreaterThan(150);

  // Credentials at the right and the wrong doors, whole and shortened.
  for (const credential of [token, ...keys]) {
    for (const path of [
      "/api/list-domains",
      "/sync/v1/maps",
      "/nowhere",
      `/nowhere?access_token=${credential}`,
    ]) {
      const headers = { authorization: `Bearer ${credential}` };
      const { body } = await http(`${server.url}${path}`, { headers });
      seen.push([path, path === "/sync/v1/maps" ? body.replaceAll(/"password":"[^"]*"/g, "") : body]);
    }
  }
  for (const { url } of [server, jsonServer]) {
    const answers = await Promise.all(
      [CANARY, token, ...keys].flatMap((secret) => misplaced(url, token, secret)),
    );
    seen.push(...answers.map((answer): [string, string] => ["misplaced", JSON.stringify(answer)]));
    const { status, body } = await http(`${url}/metrics`, { headers: { authorization: `Bearer ${token}` } });
    expect(status).toBe(200);
    seen.push(["metrics", body]);
  }
  for (const form of [[], ["--json"]]) {
    const { stdout, stderr } = await m25mail(["audit", "--db", database, ...form]);
    expect(stdout.split("\n").length).toBeGreaterThan(100);
    seen.push(["audit", stdout + stderr]);
  }
  const created = await m25mail(["token", "create", "shown-once", "--db", database]);
  seen.push(["token list", (await m25mail(["token", "list", "--db", database])).stdout]);

  seen.push(...onDisk(folder).map(([name, text]): [string, string] => [`${name}, running`, text]));
  expect(seen.map(([where]) => where)).toContain("m25-mail.db-wal, running");
  for (const { child, finished } of [server, jsonServer]) {
    child.kill("SIGTERM");
    const { code, stdout, stderr } = await finished;
    expect(code).toBe(0);
    seen.push(["the server's stdout", stdout], ["the server's log", stderr]);
  }
  seen.push(["the log of stdio", stdioLog.join("")]);
  seen.push(...onDisk(folder));

  for (const secret of [
    CANARY,
    ...[token, ...keys, created.stdout.trim()].map((text) => text.split("_")[2] ?? ""),
  ]) {
    expect(secret.length).toBeGreaterThan(20);
    expectNone(seen, secret);
  }
  // Only the database has hashes.
  expectNone(
    seen.filter(([where]) => !where.startsWith("m25-mail.db")),
    "$2b$10$",
  );
});
