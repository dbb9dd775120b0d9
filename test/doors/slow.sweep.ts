import { execFile } from "node:child_process";
import { existsSync } from "node:fs";
import { setTimeout as pause } from "node:timers/promises";
import { promisify, stripVTControlCharacters } from "node:util";
import { expect, test } from "vitest";
import { callTool, connectHttp } from "../support/clients.ts";
import { SLOWHTTPTEST } from "../support/needs.ts";
import { startServer } from "../support/server.ts";
import { testRuntime } from "../support/store.ts";
import { SyncingNode } from "../support/syncing-node.ts";

/** Runs slowhttptest with 250 connections of one kind, until all are cut off or the time is over. Returns its report. */
async function attack(url: string, seconds: number, ...kind: readonly string[]): Promise<string> {
  const args = ["-c", "250", "-r", "250", "-i", "2", "-l", `${seconds}`, "-p", "5", ...kind, "-u", url];
  const { stdout } = await promisify(execFile)(SLOWHTTPTEST, args);
  return stripVTControlCharacters(stdout);
}

test.skipIf(!existsSync(SLOWHTTPTEST))(
  "a node and an assistant are served during hundreds of slow requests, which are then cut off",
  async () => {
    const server = await startServer();
    const { must } = testRuntime(server.store);
    const node = new SyncingNode(server.url, String((await must("add-node", { name: "pi" })).sync_key));
    await node.poll();
    const client = await connectHttp("1.x", server.url, server.token);
    let attacking = true;
    const attacks = Promise.all([
      attack(`${server.url}/mcp`, 600, "-H"),
      attack(`${server.url}/api/add-domain`, 600, "-B", "-s", "8192"),
      attack(`${server.url}/healthz`, 50, "-X", "-w", "10", "-y", "20", "-z", "1", "-k", "3"),
    ]).finally(() => {
      attacking = false;
    });
    let served = 0;
    while (attacking) {
      const waiting = node.poll({ prefer: "wait=55" });
      const added = await callTool(client, "add-domain", { domain: `d${served}.nl` });
      expect(added.isError).toBeFalsy();
      expect((await waiting).kind).toBe("delta");
      served += 1;
      await pause(100);
    }
    expect(served).toBeGreaterThan(10);
    const [headers, body] = await attacks;
    for (const said of [headers, body]) expect(said).toMatch(/Exit status:\s+No open connections left/);
  },
);
