/** A person at a node who runs `join` and `rotate` with the real server. */
import { readFileSync, statSync } from "node:fs";
import fs, { type FileHandle } from "node:fs/promises";
import { createServer, type RequestListener } from "node:http";
import { syncBuiltinESMExports } from "node:module";
import type { AddressInfo } from "node:net";
import { expect, onTestFinished } from "vitest";
import { type Machine, thisMachine } from "../../src/machine/machine.ts";
import { main } from "../../src/node/cli.ts";
import type { TestServer } from "../support/server.ts";

export const never = new AbortController().signal;

/** Returns the key that an operator would paste. */
export async function addNode(server: TestServer, name = "node-1"): Promise<string> {
  const { body } = await server.api("add-node", { name });
  return body.sync_key as string;
}

/** The server's status for a poll with this key. */
export async function statusOf(server: { url: string | URL }, key: string): Promise<number> {
  const response = await fetch(new URL("/sync/v1/maps", server.url), {
    headers: { authorization: `Bearer ${key}` },
  });
  await response.text();
  return response.status;
}

interface Console {
  machine: Machine;
  log: string[];
  printed: string[];
}

/** A person at a node, who pastes `pasted` when asked. */
export function consoleWith(pasted: string, parts: Partial<Machine> = {}): Console {
  const log: string[] = [];
  const printed: string[] = [];
  const machine: Machine = {
    ...thisMachine,
    readSecret: async () => pasted,
    log: (line) => void log.push(line),
    print: (text) => void printed.push(text),
    ...parts,
  };
  return { machine, log, printed };
}

type Command = "join" | "rotate";

export function run(command: Command, server: { url: string | URL }, keyFile: string, { machine }: Console) {
  return main([command, "--server", String(server.url), "--key-file", keyFile], {}, machine, never);
}

/** The key in a file, which must be one of the server's. */
export function keyIn(file: string): string {
  const text = readFileSync(file, "utf8");
  expect(text).toMatch(/^m25key_[0-9a-f]{16}_[0-9a-f]{64}\n$/);
  return text.trim();
}

export function mode(path: string): string {
  return (statSync(path).mode & 0o7777).toString(8);
}

/** Runs `action` on a disk that fails once, at the nth change of a file. */
export async function failingAt<T>(n: number, action: () => Promise<T>): Promise<T> {
  const { open, rename } = fs;
  let left = n;
  const tick = (): void => {
    left -= 1;
    if (left === 0)
      throw Object.assign(new Error("ENOSPC: pretended"), { code: "ENOSPC", path: "/pretended" });
  };
  fs.open = async (path, flags, mode) => {
    if (flags === "wx") tick();
    const file: FileHandle = await open(path, flags, mode);
    const { writeFile, sync } = file;
    file.writeFile = async (...data) => {
      tick();
      await writeFile.apply(file, data);
    };
    file.sync = async () => {
      tick();
      await sync.call(file);
    };
    return file;
  };
  fs.rename = async (from, to) => {
    tick();
    await rename(from, to);
  };
  syncBuiltinESMExports();
  try {
    return await action();
  } finally {
    Object.assign(fs, { open, rename });
    syncBuiltinESMExports();
  }
}

/** A proxy before the real server, which answers the requests in `answers` itself. */
export async function standBefore(
  server: TestServer,
  answers: (route: string, pass: () => Promise<{ status: number; body: string }>) => Promise<unknown>,
): Promise<{ url: string }> {
  const listener: RequestListener = async (request, response) => {
    const pass = async () => {
      const answer = await fetch(new URL(request.url ?? "", server.url), {
        method: request.method ?? "GET",
        headers: { authorization: request.headers.authorization ?? "" },
      });
      return { status: answer.status, body: await answer.text() };
    };
    const made = await answers(`${request.method} ${request.url}`, pass);
    if (made === "hang up") return void request.socket.destroy();
    const { status, body } = (made ?? (await pass())) as { status: number; body: string };
    response.writeHead(status, { "content-type": "application/json" }).end(body);
  };
  const front = createServer((request, response) => void listener(request, response));
  await new Promise<void>((resolve) => front.listen(0, "127.0.0.1", resolve));
  onTestFinished(() => void front.close());
  return { url: `http://127.0.0.1:${(front.address() as AddressInfo).port}/` };
}
