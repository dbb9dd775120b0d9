import { spawn } from "node:child_process";
import {
  chmodSync,
  chownSync,
  existsSync,
  readdirSync,
  readFileSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { createServer, type RequestListener } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { describe, expect, it, onTestFinished } from "vitest";
import { main } from "../../src/agent/cli.ts";
import type { FileSystem } from "../../src/agent/file-system.ts";
import type { Host } from "../../src/agent/host.ts";
import { thisMachine } from "../../src/agent/this-machine.ts";
import { startServer, type TestServer } from "../support/server.ts";
import { testRuntime } from "../support/store.ts";
import { bundle, type Ended } from "./bundled.ts";
import { temporaryFolder } from "./support.ts";

const never = new AbortController().signal;

async function addNode(server: TestServer, name = "node-1"): Promise<string> {
  const { body } = await server.api("add-node", { name });
  return body.sync_key as string;
}

async function statusOf(server: { url: string | URL }, key: string): Promise<number> {
  const response = await fetch(new URL("/sync/v1/maps", server.url), {
    headers: { authorization: `Bearer ${key}` },
  });
  await response.text();
  return response.status;
}

interface Console {
  host: Host;
  log: string[];
  printed: string[];
}

/** A person at a node, who pastes `pasted` when asked. */
function consoleWith(pasted: string, parts: Partial<Host> = {}): Console {
  const log: string[] = [];
  const printed: string[] = [];
  const host: Host = {
    ...thisMachine,
    readSecret: async () => pasted,
    log: (line) => void log.push(line),
    print: (text) => void printed.push(text),
    ...parts,
  };
  return { host, log, printed };
}

type Command = "join" | "rotate";

function run(command: Command, server: { url: string | URL }, keyFile: string, { host }: Console) {
  return main([command, "--server", String(server.url), "--key-file", keyFile], {}, host, never);
}

function keyIn(file: string): string {
  const text = readFileSync(file, "utf8");
  expect(text).toMatch(/^m25key_[0-9a-f]{16}_[0-9a-f]{64}\n$/);
  return text.trim();
}

function mode(path: string): string {
  return (statSync(path).mode & 0o7777).toString(8);
}

/** What a command does when it stops at the n-th change of a file. */
function failingAt(n: number, code: string): FileSystem {
  let left = n;
  const tick = (): void => {
    left -= 1;
    if (left === 0) throw Object.assign(new Error(`${code}: pretended`), { code, path: "/pretended" });
  };
  const { files } = thisMachine;
  return {
    ...files,
    create: async (path) => {
      tick();
      const file = await files.create(path);
      return {
        ...file,
        write: async (text) => {
          tick();
          await file.write(text);
        },
        sync: async () => {
          tick();
          await file.sync();
        },
      };
    },
    rename: async (from, to) => {
      tick();
      await files.rename(from, to);
    },
    sync: async (path) => {
      tick();
      await files.sync(path);
    },
  };
}

/** Stands before the real server and answers by hand what `answers` knows. */
async function standBefore(
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

describe("join", () => {
  it("exchanges the pasted key at once, and the one that stood in the chat is worthless", async () => {
    const server = await startServer();
    const pasted = await addNode(server);
    const keyFile = join(temporaryFolder(), "key");
    const node = consoleWith(`  ${pasted}\r`);
    expect(await run("join", server, keyFile, node)).toBe(0);

    expect(node.printed).toEqual([
      `joined: ${keyFile} holds this node's own key, and the one that was pasted has ended\n`,
    ]);
    expect(node.log).toEqual([]);
    expect(await statusOf(server, pasted)).toBe(401);
    expect(await statusOf(server, keyIn(keyFile))).toBe(200);
    expect(mode(keyFile)).toBe("600");
    expect(readdirSync(join(keyFile, ".."))).toEqual(["key"]);
  });

  it("as it is shipped, reads the key from stdin, makes folder and file for its owner alone under any umask, and never says a key", async () => {
    const server = await startServer();
    const pasted = await addNode(server);
    const keyFile = join(temporaryFolder(), "etc/m25-mail/key");
    const args = [await bundle(), "join", "--server", server.url, "--key-file", keyFile];
    const said = await inShell("000", args, `${pasted}\nanother line\n`);
    expect(said).toMatchObject({ code: 0, stderr: "" });
    const fresh = keyIn(keyFile);
    expect(said.stdout).toMatch(/^joined: .*\n$/);
    expect(said.stdout).not.toContain("m25key_");
    expect(mode(keyFile)).toBe("600");
    expect(mode(join(keyFile, ".."))).toBe("700");
    expect(await statusOf(server, pasted)).toBe(401);
    expect(await statusOf(server, fresh)).toBe(200);
  });

  it("does not take a key from the command line, and does not repeat one", async () => {
    const server = await startServer();
    const pasted = await addNode(server);
    const keyFile = join(temporaryFolder(), "key");
    const node = consoleWith("");
    const base = ["--server", server.url, "--key-file", keyFile];
    for (const argv of [
      ["join", ...base, pasted],
      ["join", ...base, `--key=${pasted}`],
      [pasted, ...base],
    ]) {
      expect(await main(argv, {}, node.host, never)).toBe(2);
    }
    expect(node.log.join("\n")).not.toContain(pasted.slice(0, 12));
    expect(existsSync(keyFile)).toBe(false);
    expect(await statusOf(server, pasted)).toBe(200);
  });

  it("with nothing on stdin, or something that is no key, changes nothing and says so", async () => {
    const server = await startServer();
    const keyFile = join(temporaryFolder(), "new/key");
    for (const pasted of ["", "  ", "the key is m25key_0123", "kort", `m25key_${"a".repeat(600)}`]) {
      const node = consoleWith(pasted);
      expect(await run("join", server, keyFile, node)).toBe(2);
      expect(node.log.join("\n")).toContain("on standard input");
      expect(node.log.join("\n")).not.toContain("0123");
      expect(existsSync(join(keyFile, ".."))).toBe(false);
    }
  });

  it("does not overwrite the key of a node that has joined, nor ask for another", async () => {
    const server = await startServer();
    const pasted = await addNode(server);
    const keyFile = join(temporaryFolder(), "key");
    writeFileSync(keyFile, "the key of a node that works\n", { mode: 0o600 });
    let asked = false;
    const node = consoleWith(pasted, {
      readSecret: async () => {
        asked = true;
        return pasted;
      },
    });
    expect(await run("join", server, keyFile, node)).toBe(78);
    expect(asked).toBe(false);
    expect(node.log.join("\n")).toContain("m25-mail-node rotate");
    expect(readFileSync(keyFile, "utf8")).toBe("the key of a node that works\n");
    expect(await statusOf(server, pasted)).toBe(200);
  });

  it("with a key that the server does not know, or from another address, leaves no file behind", async () => {
    const server = await startServer();
    const { body } = await server.api("add-node", { name: "elsewhere", ip_address: "192.0.2.1" });
    const unknown = `m25key_${"0".repeat(16)}_${"0".repeat(64)}`;
    for (const pasted of [unknown, body.sync_key as string]) {
      const keyFile = join(temporaryFolder(), "key");
      const node = consoleWith(pasted);
      expect(await run("join", server, keyFile, node)).toBe(77);
      expect(existsSync(keyFile)).toBe(false);
      expect(node.printed).toEqual([]);
    }
  });

  it("with the server away can be run again", async () => {
    const server = await startServer();
    const pasted = await addNode(server);
    const keyFile = join(temporaryFolder(), "key");
    const away = { url: "http://127.0.0.1:1/" };
    expect(await run("join", away, keyFile, consoleWith(pasted))).toBe(75);
    expect(existsSync(keyFile)).toBe(false);
    expect(await run("join", server, keyFile, consoleWith(pasted))).toBe(0);
  });

  it("with a key that was exchanged already, says what may have become of it and how to get another", async () => {
    const server = await startServer();
    const pasted = await addNode(server);
    const first = join(temporaryFolder(), "key");
    expect(await run("join", server, first, consoleWith(pasted))).toBe(0);
    const second = join(temporaryFolder(), "key");
    const node = consoleWith(pasted);
    expect(await run("join", server, second, node)).toBe(77);
    expect(node.log).toEqual([
      expect.stringMatching(/401.*exchanged already.*m25-mail node rotate-key NAME.*--server/),
    ]);
    expect(existsSync(second)).toBe(false);
  });

  it("whose answer was lost can be run again", async () => {
    const server = await startServer();
    const pasted = await addNode(server);
    const keyFile = join(temporaryFolder(), "key");
    const front = await standBefore(server, async (route, pass) => {
      if (!route.startsWith("POST")) return undefined;
      await pass();
      return "hang up";
    });
    expect(await run("join", front, keyFile, consoleWith(pasted))).toBe(75);
    expect(existsSync(keyFile)).toBe(false);
    expect(await run("join", server, keyFile, consoleWith(pasted))).toBe(0);
    expect(await statusOf(server, pasted)).toBe(401);
    expect(await statusOf(server, keyIn(keyFile))).toBe(200);
  });

  it("that dies at any write leaves a key that is valid: the pasted one, or the one in the file", async () => {
    const server = await startServer();
    let stopped = 0;
    for (let n = 1; n < 20; n += 1) {
      const pasted = await addNode(server, `node-${n}`);
      const keyFile = join(temporaryFolder(), "key");
      const code = await run("join", server, keyFile, consoleWith(pasted, { files: failingAt(n, "ENOSPC") }));
      if (code === 0) break;
      stopped += 1;
      expect(code).toBe(75);
      if (existsSync(keyFile)) expect(await statusOf(server, keyIn(keyFile))).toBe(200);
      else expect(await run("join", server, keyFile, consoleWith(pasted))).toBe(0);
    }
    expect(stopped).toBe(5);
  });

  it("that could not prove the fresh key says that the next poll does", async () => {
    const server = await startServer();
    const pasted = await addNode(server);
    const keyFile = join(temporaryFolder(), "key");
    const front = await standBefore(server, async (route) =>
      route.startsWith("GET") ? "hang up" : undefined,
    );
    const node = consoleWith(pasted);
    expect(await run("join", front, keyFile, node)).toBe(75);
    expect(node.log[0]).toBe(
      "the fresh key is in its place, and the old one ends when the next poll uses it",
    );
    expect(node.printed).toEqual([]);
    expect(await statusOf(server, keyIn(keyFile))).toBe(200);
    expect(await statusOf(server, pasted)).toBe(401);
  });

  it("that is given a key which then is not accepted leaves everything as it was", async () => {
    const server = await startServer();
    const pasted = await addNode(server);
    const keyFile = join(temporaryFolder(), "key");
    const front = await standBefore(server, async (route) =>
      route.startsWith("POST")
        ? { status: 200, body: JSON.stringify({ sync_key: "m25key_of_another_server" }) }
        : undefined,
    );
    expect(await run("join", front, keyFile, consoleWith(pasted))).toBe(77);
    expect(existsSync(keyFile)).toBe(false);
    expect(await statusOf(server, pasted)).toBe(200);
  });

  it("takes no page, no empty answer and no old key for a fresh key", async () => {
    const server = await startServer();
    const pasted = await addNode(server);
    const bodies = [
      "<html>Welcome</html>",
      "{}",
      "null",
      '{"sync_key":7}',
      '{"sync_key":"kort"}',
      '{"sync_key":"a key with\\nanother header"}',
      JSON.stringify({ sync_key: pasted }),
    ];
    for (const body of bodies) {
      const keyFile = join(temporaryFolder(), "key");
      const front = await standBefore(server, async () => ({ status: 200, body }));
      const node = consoleWith(pasted);
      expect(await run("join", front, keyFile, node), body).toBe(65);
      expect(existsSync(keyFile)).toBe(false);
      expect(node.log.join("\n")).not.toContain(pasted);
    }
  });
});

describe("rotate", () => {
  async function joined(): Promise<{ server: TestServer; keyFile: string; key: string }> {
    const server = await startServer();
    const key = await addNode(server);
    const keyFile = join(temporaryFolder(), "key");
    writeFileSync(keyFile, `${key}\n`, { mode: 0o600 });
    return { server, keyFile, key };
  }

  it("puts a fresh key in the file, and the one before ends", async () => {
    const { server, keyFile, key } = await joined();
    const node = consoleWith("");
    expect(await run("rotate", server, keyFile, node)).toBe(0);
    expect(node.printed).toEqual([`rotated: ${keyFile} holds a fresh key, and the one before has ended\n`]);
    expect(node.log).toEqual([]);
    const fresh = keyIn(keyFile);
    expect(fresh).not.toBe(key);
    expect(await statusOf(server, key)).toBe(401);
    expect(await statusOf(server, fresh)).toBe(200);
    expect(await run("rotate", server, keyFile, node)).toBe(0);
    expect(await statusOf(server, fresh)).toBe(401);
  });

  it("that stops at any write has a valid key in the file", async () => {
    const { server, keyFile } = await joined();
    let stopped = 0;
    for (let n = 1; n < 20; n += 1) {
      const code = await run("rotate", server, keyFile, consoleWith("", { files: failingAt(n, "ENOSPC") }));
      if (code === 0) break;
      stopped += 1;
      expect(code).toBe(75);
      expect(await statusOf(server, keyIn(keyFile))).toBe(200);
    }
    expect(stopped).toBe(5);
  });

  it("keeps the key before when the server does not take the one that it has just given", async () => {
    const { server, keyFile, key } = await joined();
    const front = await standBefore(server, async (route) =>
      route.startsWith("POST")
        ? { status: 200, body: JSON.stringify({ sync_key: "m25key_of_another_server" }) }
        : undefined,
    );
    expect(await run("rotate", front, keyFile, consoleWith(""))).toBe(77);
    expect(readFileSync(keyFile, "utf8")).toBe(`${key}\n`);
    expect(await statusOf(server, key)).toBe(200);
  });

  it("says where the operator's key goes when there is one, and leaves the file as it is", async () => {
    const { server, keyFile, key } = await joined();
    await testRuntime(server.store).must("rotate-key", { name: "node-1" });
    const node = consoleWith("");
    expect(await run("rotate", server, keyFile, node)).toBe(77);
    expect(node.log.join("\n")).toContain("m25-mail node rotate-key");
    expect(readFileSync(keyFile, "utf8")).toBe(`${key}\n`);
    expect(await statusOf(server, key)).toBe(200);
  });

  it("without a key file, or with a link in its place, says what to do", async () => {
    const { server, keyFile, key } = await joined();
    const link = join(keyFile, "../link");
    symlinkSync(keyFile, link);
    for (const file of [join(keyFile, "../none"), link]) {
      expect(await run("rotate", server, file, consoleWith(""))).toBe(78);
    }
    expect(await statusOf(server, key)).toBe(200);
  });

  const asRoot = process.geteuid?.() === 0 ? it : it.skip;
  asRoot("leaves the file to whom it belongs, and closes it to the others", async () => {
    const { server, keyFile } = await joined();
    chownSync(keyFile, 4711, 4712);
    chmodSync(keyFile, 0o644);
    expect(await run("rotate", server, keyFile, consoleWith(""))).toBe(0);
    expect(statusOfFile(keyFile)).toEqual({ uid: 4711, gid: 4712, mode: "640" });
  });
});

function statusOfFile(path: string): { uid: number; gid: number; mode: string } {
  const { uid, gid } = statSync(path);
  return { uid, gid, mode: mode(path) };
}

function inShell(umask: string, args: readonly string[], input: string): Promise<Ended> {
  const command = `umask ${umask}; exec "$@"`;
  const child = spawn("/bin/sh", ["-c", command, "sh", process.execPath, ...args]);
  let stdout = "";
  let stderr = "";
  child.stdout.on("data", (piece) => {
    stdout += piece;
  });
  child.stderr.on("data", (piece) => {
    stderr += piece;
  });
  child.stdin.end(input);
  return new Promise((resolve) => {
    child.once("close", (code, signal) => resolve({ code, signal, stdout, stderr }));
  });
}
