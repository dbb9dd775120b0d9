import { chmodSync, chownSync, readFileSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { startServer, type TestServer } from "../support/server.ts";
import { testRuntime } from "../support/store.ts";
import { temporaryFolder } from "./folder.ts";
import { addNode, consoleWith, failingAt, keyIn, mode, run, standBefore, statusOf } from "./joining.ts";

describe("rotate", () => {
  async function joined(): Promise<{ server: TestServer; keyFile: string; key: string }> {
    const server = await startServer();
    const key = await addNode(server);
    const keyFile = join(temporaryFolder(), "key");
    writeFileSync(keyFile, `${key}\n`, { mode: 0o600 });
    return { server, keyFile, key };
  }

  it("puts a new key in the file, and the old one ends", async () => {
    const { server, keyFile, key } = await joined();
    const node = consoleWith("");
    expect(await run("rotate", server, keyFile, node)).toBe(0);
    expect(node.printed).toEqual([`rotated: ${keyFile} holds a fresh key, and the old key has ended\n`]);
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
      const code = await failingAt(n, () => run("rotate", server, keyFile, consoleWith("")));
      if (code === 0) break;
      stopped += 1;
      expect(code).toBe(75);
      expect(await statusOf(server, keyIn(keyFile))).toBe(200);
    }
    expect(stopped).toBe(5);
  });

  it("keeps the old key if the server refuses the new one that it has just given", async () => {
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

  it("explains where to put an operator's key if there is one, and does not change the file", async () => {
    const { server, keyFile, key } = await joined();
    await testRuntime(server.store).must("rotate-key", { name: "node-1" });
    const node = consoleWith("");
    expect(await run("rotate", server, keyFile, node)).toBe(77);
    expect(node.log).toEqual([
      expect.stringMatching(
        /m25-mail node rotate-key.*remove the key file, and run m25-mail-node join with that key/,
      ),
    ]);
    expect(readFileSync(keyFile, "utf8")).toBe(`${key}\n`);
    expect(await statusOf(server, key)).toBe(200);
  });

  it("without a key file, or with a link instead, tells the next step", async () => {
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
