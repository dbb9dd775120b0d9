import { spawn } from "node:child_process";
import { cpSync, mkdirSync, symlinkSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { collect, ENTRY } from "../support/program.ts";
import { startServer, type TestServer } from "../support/server.ts";
import { temporaryFolder } from "../support/store.ts";
import { packages } from "./installed.ts";

/** How a client reaches the server, in the terms that most clients use in their settings. */
export type ServerSettings =
  | { url: string; headers: Record<string, string> }
  | { command: string; args: string[]; env: Record<string, string> };

export const transports = ["stdio", "http"] as const;

/** Starts a server. Returns how a client reaches it: over HTTP, or as a stdio process of the client's. */
export async function startFor(
  transport: (typeof transports)[number],
): Promise<{ server: TestServer; settings: ServerSettings }> {
  const server = await startServer();
  const settings =
    transport === "http"
      ? { url: `${server.url}/mcp`, headers: { Authorization: `Bearer ${server.token}` } }
      : { command: process.execPath, args: [ENTRY, "stdio", "--db", server.database], env: {} };
  return { server, settings };
}

/** A home folder of its own, where clients keep their settings. */
export class Home {
  readonly folder = temporaryFolder();

  write(path: string, content: string): void {
    const file = join(this.folder, path);
    mkdirSync(dirname(file), { recursive: true });
    writeFileSync(file, content);
  }

  /** Starts a client. It may connect to loopback only: the sweeps also run without a network. */
  start(
    [command, ...args]: readonly [string, ...string[]],
    { input = "", environment = {} }: { input?: string; environment?: Record<string, string> } = {},
  ): { said(): string; finished: Promise<{ code: number | null; stdout: string; stderr: string }> } {
    const child = spawn(command, args, {
      cwd: this.folder,
      env: { ...this.environment(), ...environment },
    });
    const { said, finished } = collect(child);
    child.stdin.end(input);
    return { said: () => said.stdout + said.stderr, finished };
  }

  /** Runs a client until it ends. */
  run(...client: Parameters<Home["start"]>): ReturnType<Home["start"]>["finished"] {
    return this.start(...client).finished;
  }

  /** Runs one of the scripts in libraries/, with the packages of the installed clients. */
  async library(name: string, question: object, environment: Record<string, string> = {}): Promise<unknown> {
    const folder = join(this.folder, "libraries");
    cpSync(join(import.meta.dirname, "libraries"), folder, { recursive: true });
    symlinkSync(packages, join(folder, "node_modules"));
    const { code, stdout, stderr } = await this.run([process.execPath, join(folder, `${name}.mjs`)], {
      input: JSON.stringify(question),
      environment,
    });
    if (code !== 0) throw new Error(`${name} ended with ${code}: ${stderr}`);
    return JSON.parse(stdout);
  }

  environment(): Record<string, string> {
    return {
      HOME: this.folder,
      PATH: `${join(this.folder, "bin")}:${dirname(process.execPath)}:/usr/bin:/bin`,
      TMPDIR: this.folder,
      NO_COLOR: "1",
      // A real browser would still start after the test's end, and make its folders in the removed home again.
      BROWSER: "true",
      // Telemetry and update checks, by the variable that each client reads.
      DO_NOT_TRACK: "1",
      DISABLE_TELEMETRY: "1",
      DISABLE_AUTOUPDATER: "1",
      CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC: "1",
      GEMINI_TELEMETRY_ENABLED: "false",
    };
  }
}

const PASSWORD = "brown hen in a tall tree";
const add = { name: "m25_mail_add_user", arguments: { email: "jan@client.example", password: PASSWORD } };

/** The calls of each client: a domain, a mailbox, and the same mailbox again, which is an error. */
export const calls = [{ name: "m25_mail_add_domain", arguments: { domain: "client.example" } }, add, add];

/** Patterns that the model must read in each call's result. */
export const expected = [
  /client\.example/,
  /jan@client\.example/,
  /user_exists.*exists already.*m25_mail_update_password/s,
];
