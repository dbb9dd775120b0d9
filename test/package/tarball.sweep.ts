import { execFileSync, spawnSync } from "node:child_process";
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { basename, dirname, join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import packageJson from "../../package.json" with { type: "json" };
import { callTool, connectCommand } from "../support/clients.ts";
import { http } from "../support/http.ts";
import { otherNodes } from "../support/needs.ts";
import { environmentOf, startM25mail } from "../support/program.ts";
import { temporaryFolder } from "../support/store.ts";

const checkout = join(import.meta.dirname, "../..");
const folder = mkdtempSync(join(tmpdir(), "m25-mail-tarball-"));
const tarball = join(folder, `m25-mail-${packageJson.version}.tgz`);
afterAll(() => rmSync(folder, { recursive: true }));

/** Returns a user's environment with this Node, without the variables that npm sets for its scripts. */
function shell(node: string): Record<string, string> {
  const bin = join(folder, `bin-${node.replaceAll("/", "-")}`);
  if (!existsSync(bin)) {
    mkdirSync(bin);
    symlinkSync(node, join(bin, "node"));
  }
  const kept = Object.entries(environmentOf()).filter(([name]) => !name.startsWith("npm_"));
  const path = `${bin}:${process.env.PATH?.split(":")
    .filter((part) => !part.includes("node_modules"))
    .join(":")}`;
  return { ...Object.fromEntries(kept), PATH: path, npm_config_cache: join(folder, "cache") };
}

function run(command: string, args: string[], cwd: string, node = process.execPath) {
  return execFileSync(command, args, { cwd, env: shell(node), encoding: "utf8", stdio: "pipe" });
}

/** Packs a copy that has not been built: `npm pack` builds it. */
beforeAll(() => {
  const copy = join(folder, "copy");
  const files = ["package.json", ".npmrc", "README.md", "LICENSE", "CHANGELOG.md"];
  for (const part of [...files, "src", "db", "tools", "scripts", "deploy", "test"]) {
    cpSync(join(checkout, part), join(copy, part), { recursive: true });
  }
  symlinkSync(join(checkout, "node_modules"), join(copy, "node_modules"));
  run("npm", ["pack", "--pack-destination", folder], copy);
});

/** Installs the oldest supported Node in a folder of its own and returns its path. */
function oldestNode(): string {
  const home = join(folder, "node-22");
  if (!existsSync(home)) {
    mkdirSync(home);
    run("npm", ["install", "--prefix", home, `node-linux-${process.arch}@22.19.0`], home);
  }
  return join(home, `node_modules/node-linux-${process.arch}/bin/node`);
}

describe.each([
  ["Node 22.19", oldestNode],
  ["Node 24", () => process.execPath],
])("installed from its tarball in an empty folder, on %s", (_name, nodeOf) => {
  test("npx starts the server over stdio, and an MCP client creates a mailbox", async () => {
    const env = { ...shell(nodeOf()), M25_MAIL_DB: join(temporaryFolder(), "m25-mail.db") };
    const client = await connectCommand("npx", ["-y", `./${basename(tarball)}`, "stdio"], env, folder);
    expect((await client.listTools()).tools).toHaveLength(9);
    await callTool(client, "add-domain", { domain: "example.nl" });
    const user = { email: "jan@example.nl", password: "correct horse battery" };
    expect((await callTool(client, "add-user", user)).structuredContent).toMatchObject({ active: true });
  });

  test("npm install --global installs no Node, compiles nothing, and serves REST and OAuth", async () => {
    const prefix = temporaryFolder();
    run("npm", ["install", "--global", "--prefix", prefix, tarball], prefix, nodeOf());
    const packages = join(prefix, "lib/node_modules/m25-mail/node_modules");
    expect(readdirSync(packages).filter((name) => /^node-(linux|win)|^(zod|vitest)$/.test(name))).toEqual([]);
    for (const name of ["better-sqlite3", "bcrypt"]) {
      expect(readdirSync(join(packages, name))).toContain("prebuilds");
      expect(readdirSync(join(packages, name))).not.toContain("build");
    }
    const said = (program: string) => run(join(prefix, "bin", program), ["--version"], prefix, nodeOf());
    expect(said("m25-mail")).toBe(`m25-mail ${packageJson.version}\n`);
    expect(said("m25-mail-node")).toContain(packageJson.version);

    const database = join(temporaryFolder(), "m25-mail.db");
    const flags = ["--port", "0", "--db", database, "--oauth", "--public-url", "http://localhost:8625"];
    const server = startM25mail(["serve", ...flags], {
      command: [join(prefix, "bin/m25-mail")],
      environment: shell(nodeOf()),
    });
    const [, url = ""] = await server.says(/serves (http:\S+)/);
    const token = readFileSync(join(dirname(database), "first-token"), "utf8").trim();
    const headers = { authorization: `Bearer ${token}` };
    expect((await http(`${url}/api/list-domains`, { headers })).status).toBe(200);
    expect((await http(`${url}/.well-known/oauth-authorization-server`)).status).toBe(200);
    server.child.kill("SIGTERM");
    const { code, stdout, stderr } = await server.finished;
    expect({ code, stdout }, stderr).toEqual({ code: 0, stdout: "" });
  });
});

const tooOld = otherNodes().find(({ version }) => /^v(18|20)\./.test(version));

test.skipIf(tooOld === undefined)(
  "on an older Node each command ends with one line that names the needed version",
  () => {
    const home = temporaryFolder();
    const node = tooOld?.path ?? "";
    run("npm", ["install", tarball], home, node);
    for (const command of ["stdio", "serve", "--version"]) {
      const program = join(home, "node_modules/.bin/m25-mail");
      const { status, stdout, stderr } = spawnSync(program, [command], {
        env: shell(node),
        encoding: "utf8",
      });
      expect({ status, stdout }).toEqual({ status: 1, stdout: "" });
      expect(stderr).toMatch(/^m25-mail needs Node\.js 22\.19 or later; this is v\d+\S+ .*\n$/);
    }
  },
);
