import { cpSync, symlinkSync } from "node:fs";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import mcpJson from "../../mcp.json" with { type: "json" };
import { http } from "../support/http.ts";
import { type Running, startM25mail } from "../support/program.ts";
import { temporaryFolder } from "../support/store.ts";

const checkout = join(import.meta.dirname, "../..");

/** `npm` at the head of a process group, as a shell with a terminal starts it. */
function npm(args: readonly string[], environment: Record<string, string> = {}): Running {
  const running = startM25mail([], { command: ["setsid", "npm", ...args], environment });
  onTestFinished(() => signalGroup(running, "SIGKILL"));
  return running;
}

function signalGroup({ child }: Running, signal: NodeJS.Signals): void {
  if (child.pid === undefined) return; // it could not be started, and 0 would be our own group
  try {
    process.kill(-child.pid, signal);
  } catch {} // nobody is left
}

/** A checkout of its own: `npm start` builds, and other tests use what is built in ours. */
function otherCheckout(): string {
  const folder = temporaryFolder();
  for (const part of ["package.json", "src", "db", "tools", "scripts"]) {
    cpSync(join(checkout, part), join(folder, part), { recursive: true });
  }
  symlinkSync(join(checkout, "node_modules"), join(folder, "node_modules"));
  return folder;
}

test.each([
  ["npm being told to end", (running: Running) => void running.child.kill("SIGTERM")],
  ["Ctrl-C, which the terminal and npm both pass on", (running: Running) => signalGroup(running, "SIGINT")],
])("npm start takes flags, and %s stops the server in good order", async (_how, stop) => {
  const database = join(temporaryFolder(), "m25-mail.db");
  const server = npm(["--prefix", otherCheckout(), "start", "--", "--port", "0", "--db", database]);
  const [, url = ""] = await server.says(/serves (http:\S+)/);
  expect((await http(`${url}/healthz`)).status).toBe(200);
  stop(server);
  expect(await server.finished).toMatchObject({ code: 0, stderr: expect.stringContaining("m25-mail stops") });
});

test("the way in mcp.json ends with npm, and when its client goes away", async () => {
  const { command, args } = mcpJson.mcpServers["m25-mail"];
  expect(command).toBe("npm");
  const environment = { M25_MAIL_DB: join(temporaryFolder(), "m25-mail.db") };
  const told = npm(args, environment);
  await told.says(/made a new database/);
  told.child.kill("SIGTERM");
  expect(await told.finished).toMatchObject({ code: 0, stdout: "" });
  const left = npm(args, environment);
  left.child.stdin.end();
  expect(await left.finished).toMatchObject({ code: 0, stdout: "" });
});
