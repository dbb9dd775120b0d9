import { cpSync, readFileSync, symlinkSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, onTestFinished, test } from "vitest";
import mcpJson from "../../mcp.json" with { type: "json" };
import packageJson from "../../package.json" with { type: "json" };
import { http } from "../support/http.ts";
import { type Running, startM25mail } from "../support/program.ts";
import { temporaryFolder } from "../support/store.ts";

const checkout = join(import.meta.dirname, "../..");

/** Starts a command as the leader of a process group, as a shell in a terminal does. */
function group(words: readonly string[], environment: Record<string, string> = {}): Running {
  const running = startM25mail([], { command: ["setsid", ...words], environment });
  onTestFinished(() => signalGroup(running, "SIGKILL"));
  return running;
}

function signalGroup({ child }: Running, signal: NodeJS.Signals): void {
  if (child.pid === undefined) return; // not started, and group 0 would be our own
  try {
    process.kill(-child.pid, signal);
  } catch {} // nobody is left
}

/** A checkout of its own: `npm start` builds, and other tests use the build in ours. */
function otherCheckout(): string {
  const folder = temporaryFolder();
  for (const part of ["package.json", "LICENSE", "src", "db", "tools", "scripts", "deploy"]) {
    cpSync(join(checkout, part), join(folder, part), { recursive: true });
  }
  symlinkSync(join(checkout, "node_modules"), join(folder, "node_modules"));
  return folder;
}

test.each([
  ["npm being told to end", (running: Running) => void running.child.kill("SIGTERM")],
  ["Ctrl-C, which the terminal and npm both pass on", (running: Running) => signalGroup(running, "SIGINT")],
])("npm start takes flags, and %s stops the server cleanly", async (_how, stop) => {
  const database = join(temporaryFolder(), "m25-mail.db");
  const server = group(["npm", "--prefix", otherCheckout(), "start", "--", "--port", "0", "--db", database]);
  const [, url = ""] = await server.says(/serves (http:\S+)/);
  expect((await http(`${url}/healthz`)).status).toBe(200);
  stop(server);
  expect(await server.finished).toMatchObject({ code: 0, stderr: expect.stringContaining("m25-mail stops") });
});

const { command, args } = mcpJson.mcpServers["m25-mail"];
const waysToStart = [
  ["npm run stdio", ["npm", "run", "--silent", "stdio"]],
  ["mcp.json", [command, ...args]],
] as const;
const waysToEnd = [
  ["being told to", (running: Running) => void running.child.kill("SIGTERM")],
  ["Ctrl-C", (running: Running) => signalGroup(running, "SIGINT")],
  ["its client going away", (running: Running) => void running.child.stdin.end()],
] as const;

describe.each(waysToStart)("the server that %s starts", (_way, words) => {
  test.each(waysToEnd)("stops cleanly by %s", async (_how, stop) => {
    const server = group(words, { M25_MAIL_DB: join(temporaryFolder(), "m25-mail.db") });
    await server.says(/made a new database/);
    stop(server);
    expect(await server.finished).toMatchObject({ code: 0, stdout: "" });
  });

  test("ends with its client, even if its parent process was killed", async () => {
    const server = group(words, { M25_MAIL_DB: join(temporaryFolder(), "m25-mail.db") });
    await server.says(/made a new database/);
    server.child.kill("SIGKILL");
    await server.finished; // stdout is closed, so the server has ended too
  });
});

test("a client starts the machine's Node without npm or a shell, and the program runs on the project's Node", async () => {
  expect(command).toBe("node");
  const asked = group([command, ...args, "--version"]);
  const { code, stdout } = await asked.finished;
  expect({ code, stdout }).toEqual({ code: 0, stdout: `m25-mail ${packageJson.version}\n` });
});

test(".mcp.json and mcp.json start the same command", () => {
  const read = (name: string) => readFileSync(join(checkout, name), "utf8");
  expect(read(".mcp.json")).toBe(read("mcp.json"));
});
