import { spawn } from "node:child_process";
import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { main } from "../../src/node/cli.ts";
import { startServer } from "../support/server.ts";
import { bundle, type Ended } from "./bundled.ts";
import { temporaryFolder } from "./folder.ts";
import {
  addNode,
  consoleWith,
  failingAt,
  keyIn,
  mode,
  never,
  run,
  standBefore,
  statusOf,
} from "./joining.ts";

describe("join", () => {
  it("exchanges the pasted key at once, and the key from the chat no longer works", async () => {
    const server = await startServer();
    const pasted = await addNode(server);
    const keyFile = join(temporaryFolder(), "key");
    const node = consoleWith(`  ${pasted}\r`);
    expect(await run("join", server, keyFile, node)).toBe(0);

    expect(node.printed).toEqual([
      `joined: ${keyFile} holds this node's own key, and the pasted key has ended\n`,
    ]);
    expect(node.log).toEqual([]);
    expect(await statusOf(server, pasted)).toBe(401);
    expect(await statusOf(server, keyIn(keyFile))).toBe(200);
    expect(mode(keyFile)).toBe("600");
    expect(readdirSync(join(keyFile, ".."))).toEqual(["key"]);
  });

  it("as shipped reads the key from stdin, creates folder and file for its owner only under any umask, and never prints a key", async () => {
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
      expect(await main(argv, {}, node.machine, never)).toBe(2);
    }
    expect(node.log.join("\n")).not.toContain(pasted.slice(0, 12));
    expect(existsSync(keyFile)).toBe(false);
    expect(await statusOf(server, pasted)).toBe(200);
  });

  it("with no key on stdin, or a text that is not a key, changes nothing and says so", async () => {
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

  it("neither overwrites the key of a joined node nor asks for another", async () => {
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
    expect(node.log.join("\n")).toContain("m25-mail-node rotate exchanges it");
    expect(node.log.join("\n")).toMatch(
      /m25-mail node rotate-key printed.*remove the file and run join again/,
    );
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

  it("with a key that was exchanged already, explains that and how to get another", async () => {
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

  it("that could not prove the new key says that the next poll does", async () => {
    const server = await startServer();
    const pasted = await addNode(server);
    const keyFile = join(temporaryFolder(), "key");
    const front = await standBefore(server, async (route) =>
      route.startsWith("GET") ? "hang up" : undefined,
    );
    const node = consoleWith(pasted);
    expect(await run("join", front, keyFile, node)).toBe(75);
    expect(node.log[0]).toBe(
      "the key file holds the fresh key, and the old one ends when the next poll uses it",
    );
    expect(node.printed).toEqual([]);
    expect(await statusOf(server, keyIn(keyFile))).toBe(200);
    expect(await statusOf(server, pasted)).toBe(401);
  });

  it("that dies at any write leaves a valid key: the pasted one, or the one in the file", async () => {
    const server = await startServer();
    let stopped = 0;
    for (let n = 1; n < 20; n += 1) {
      const pasted = await addNode(server, `node-${n}`);
      const keyFile = join(temporaryFolder(), "key");
      const code = await failingAt(n, () => run("join", server, keyFile, consoleWith(pasted)));
      if (code === 0) break;
      stopped += 1;
      expect(code).toBe(75);
      if (existsSync(keyFile)) expect(await statusOf(server, keyIn(keyFile))).toBe(200);
      else expect(await run("join", server, keyFile, consoleWith(pasted))).toBe(0);
    }
    expect(stopped).toBe(5);
  });

  it("whose new key is then refused leaves everything as it was", async () => {
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

  it("accepts no page, no empty answer and no old key as a new key", async () => {
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
