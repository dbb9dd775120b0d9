import { type ChildProcess, spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { seedDatabase } from "../db/sqlite/seed.ts";
import { openStore } from "../db/sqlite/store.ts";
import type { Store } from "../db/store.ts";
import { stateTag } from "../src/sync/answer.ts";
import { wholeView } from "../src/sync/view.ts";
import { call, type Runtime } from "../tools/call/call.ts";
import { newCredential } from "../tools/call/credential.ts";
import { PasswordHasher } from "../tools/call/password-hash.ts";
import { operator } from "../tools/call/principal.ts";
import { operatorTools } from "../tools/operator/index.ts";

/** Clock ticks a second in /proc/PID/stat. */
const TICKS = 100;

const cleanups: Array<() => void | Promise<void>> = [];

/** Runs a benchmark, then ends its processes and removes its folders, even after a failure. */
export async function benchmark(run: () => Promise<void>): Promise<void> {
  const interrupted = () => process.exit(130);
  process.once("SIGINT", interrupted).once("SIGTERM", interrupted);
  process.once("exit", () => {
    for (const end of cleanups.reverse()) void end();
  });
  await run();
  for (const end of cleanups.splice(0).reverse()) await end();
}

/** The ETag of the state that nodes should reach. */
export async function newestTag(store: Store): Promise<string> {
  const polls = await store.polls.look();
  return stateTag(await polls.state(wholeView));
}

/** Flags that switch off the limits of calls. */
export const unlimited = ["--limit-requests", "999999999", "--limit-passwords", "999999999"];

/** `m25-mail serve` of this checkout on a free port. */
export function serve(database: string, ...flags: readonly string[]): Program {
  return new Program([entryOf("."), "serve", "--port", "0", "--db", database, ...flags]);
}

/** The server of this checkout in a process that also reports its own delays. @param flags Node's own */
export function measuredServer(database: string, ...flags: readonly string[]): Program {
  return new Program([...flags, "bench/servers/product.ts", database], { ipc: true });
}

/** The nodes with these keys, which wait at the server, in one process. @param folder for the file with the keys */
export async function waitingNodes(url: string, folder: string, keys: readonly string[]): Promise<Program> {
  const file = join(folder, "keys");
  writeFileSync(file, keys.join("\n"), { mode: 0o600 });
  const maps = await fetch(`${url}/sync/v1/maps`, { headers: { authorization: `Bearer ${keys[0]}` } });
  const cursor = cursorIn(await maps.text()) ?? "";
  return new Program(["bench/servers/waiting-nodes.ts", url, file, cursor], { ipc: true });
}

/** The cursor in an answer with maps. */
export function cursorIn(maps: string): string | undefined {
  return /"cursor":"([^"]+)"/.exec(maps)?.[1];
}

/** Registers work for the end of the benchmark. */
export function cleanup(end: () => void | Promise<void>): void {
  cleanups.push(end);
}

export function temporaryFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), "m25-mail-bench-"));
  cleanups.push(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

/** `node FILE ARGUMENTS`, ended with the benchmark. `until` reads its stderr and shows it on failure. */
export class Program {
  readonly child: ChildProcess;
  #stderr = "";

  /** @param ipc opens an IPC channel, for programs of bench/servers */
  constructor(args: readonly string[], { ipc = false } = {}) {
    this.child = spawn(process.execPath, ["--no-warnings", ...args], {
      stdio: ipc ? ["pipe", "pipe", "pipe", "ipc"] : ["pipe", "pipe", "pipe"],
      cwd: join(import.meta.dirname, ".."),
    });
    this.child.stderr?.setEncoding("utf8").on("data", (text: string) => {
      this.#stderr += text;
    });
    cleanups.push(() => this.end());
  }

  /** Waits for `pattern` on stderr and returns its first group. */
  async until(pattern: RegExp, timeout = 30_000): Promise<string> {
    const deadline = Date.now() + timeout;
    for (;;) {
      const found = pattern.exec(this.#stderr)?.[1];
      if (found !== undefined) return found;
      if (Date.now() > deadline || this.child.exitCode !== null) {
        throw new Error(`the program did not say ${pattern}:\n${this.#stderr}`);
      }
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }

  /** Waits until a server is ready, and returns its address. @param timeout in ms */
  url(timeout?: number): Promise<string> {
    return this.until(/serves (http:\S+)/, timeout);
  }

  /** Sends an IPC message and waits for the answer. */
  ask<T>(message: string): Promise<T> {
    return new Promise((resolve) => {
      this.child.once("message", (answer) => resolve(answer as T));
      this.child.send(message);
    });
  }

  /** Seconds of processor time so far. Linux only. */
  cpuSeconds(): number {
    const stat = readFileSync(`/proc/${this.child.pid}/stat`, "utf8");
    const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    return (Number(fields[11]) + Number(fields[12])) / TICKS;
  }

  async end(): Promise<void> {
    this.child.kill("SIGTERM");
    const stubborn = setTimeout(() => this.child.kill("SIGKILL"), 5_000);
    await this.ended();
    clearTimeout(stubborn);
  }

  /** Resolves when the program ends by itself. */
  async ended(): Promise<void> {
    if (this.child.exitCode !== null || this.child.signalCode !== null) return;
    await new Promise((resolve) => this.child.once("exit", resolve));
  }
}

/** A new database in its own folder. All mailboxes share one hash of an unknown password, unless `passwordHash` is given. */
export async function seededDatabase(size: {
  users: number;
  domains: number;
  passwordHash?: string | (() => string);
}) {
  const folder = temporaryFolder();
  const database = join(folder, "m25-mail.db");
  const passwordHash = size.passwordHash ?? (await new PasswordHasher(10).hash("a password of nobody"));
  await seedDatabase(database, { ...size, passwordHash, at: now() });
  return { folder, database };
}

/** The first token, which a server has made for its new database. */
export function firstToken(database: string): string {
  return readFileSync(join(dirname(database), "first-token"), "utf8").trim();
}

/** Headers of a call with the first token. */
export function headersOf(database: string): { authorization: string; "content-type": string } {
  return { authorization: `Bearer ${firstToken(database)}`, "content-type": "application/json" };
}

/** Creates an access token with all scopes. */
export async function createToken(store: Store, name: string): Promise<string> {
  const made = await call(runtimeOf(store), {
    principal: operator("cli"),
    tool: operatorTools.createToken,
    input: { name },
  });
  if (!made.ok) throw made.error;
  return String(made.value.token);
}

/** Adds this many nodes. Returns their keys in order. */
export async function addNodes(database: string, count: number): Promise<string[]> {
  const store = openStore(database, { create: true });
  const keys = Array.from({ length: count }, () => newCredential("syncKey"));
  await store.write(async ({ nodes }) => {
    for (const [index, { id, hash }] of keys.entries()) {
      await nodes.add({ name: `node-${index}`, ipAddress: null, keyId: id, keyHash: hash }, now());
    }
  });
  await store.close();
  return keys.map(({ text }) => text);
}

const HASH_BYTES = 40;
let spare = Buffer.alloc(0);

/** A unique text in the form of a bcrypt hash: equal ones would compress to almost nothing. */
export function someHash(): string {
  if (spare.length < HASH_BYTES) spare = randomBytes(1000 * HASH_BYTES);
  const text = spare.subarray(0, HASH_BYTES).toString("base64").replaceAll("+", ".");
  spare = spare.subarray(HASH_BYTES);
  return `{BLF-CRYPT}$2b$10$${text.slice(0, 53)}`;
}

/** The runtime that `m25-mail` itself gives to every call. */
export function runtimeOf(store: Store): Runtime {
  const hasher = new PasswordHasher(10);
  return {
    store,
    now: () => new Date(),
    hashPassword: (password, principal) => hasher.hash(password, principal),
    reportFailure: (_, error) => process.stderr.write(`${error instanceof Error ? error.stack : error}\n`),
  };
}

export function now(): string {
  return new Date().toISOString();
}

/** Imports a rival package, which has no types here. */
export const peerRequire = createRequire(import.meta.url);

export function quantile(values: readonly number[], q: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(q * sorted.length))] ?? Number.NaN;
}

export function median(values: readonly number[]): number {
  return (
    (quantile(values, 0.5) +
      quantile(
        values.map((value) => -value),
        0.5,
      ) *
        -1) /
    2
  );
}

export function print(text: string): void {
  process.stdout.write(`${text}\n`);
}

/** Prints a Markdown table, ready for README.md. */
export function printTable(header: readonly string[], rows: ReadonlyArray<readonly string[]>): void {
  const widths = header.map((title, column) =>
    Math.max(title.length, ...rows.map((row) => row[column]?.length ?? 0)),
  );
  const line = (cells: readonly string[]) =>
    `| ${cells.map((cell, column) => (column === 0 ? cell.padEnd(widths[column] ?? 0) : cell.padStart(widths[column] ?? 0))).join(" | ")} |`;
  print(line(header));
  print(
    `|${widths.map((width, column) => `${"-".repeat(width + 1)}${column === 0 ? "-" : ":"}`).join("|")}|`,
  );
  for (const row of rows) print(line(row));
}

/** The program's entry in a checkout. Earlier checkouts have it in src. */
export function entryOf(checkout: string): string {
  const entries = ["src/program/entry.ts", "src/entry.ts"].map((path) => join(checkout, path));
  return entries.find((path) => existsSync(path)) ?? join(checkout, "src/program/entry.ts");
}
