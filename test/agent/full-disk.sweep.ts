import { spawnSync } from "node:child_process";
import { mkdirSync, rmSync, statfsSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it, onTestFinished } from "vitest";
import { main } from "../../src/agent/cli.ts";
import { thisMachine } from "../../src/agent/this-machine.ts";
import {
  expectedOf,
  type Node,
  nodeOf,
  served,
  serves,
  startServer,
  stateOf,
  temporaryFolder,
  user,
} from "./support.ts";

const crowd = (number: number) =>
  stateOf(
    number,
    ["example.nl"],
    Array.from({ length: number }, (_, index) => user(`u${index}@example.nl`)),
  );
const few = crowd(100);
const more = crowd(400);

/** Puts the node's files on a disk of that many KB; false where this process may not mount one. */
function onSmallDisk(node: Node, size: number): boolean {
  const disk = join(temporaryFolder(), "disk");
  mkdirSync(disk);
  if (spawnSync("mount", ["-t", "tmpfs", "-o", `size=${size}k`, "tmpfs", disk]).status !== 0) return false;
  onTestFinished(() => void spawnSync("umount", [disk]));
  node.config.out = join(disk, "out");
  node.config.thresholds = { percent: 100, users: 0 };
  return true;
}

const postmap = await thisMachine.find("postmap");

describe.skipIf(postmap === undefined)(
  "a disk that really is full (skipped without postmap, or where nothing can be mounted)",
  () => {
    it("whatever is the first thing that does not fit: no map is lost, the server is told, and space is all it takes", async (context) => {
      const server = await startServer(few);
      const node = nodeOf(server);
      if (!onSmallDisk(node, 400)) return context.skip("no disk can be mounted here");
      const ballast = join(node.config.out, "../ballast");
      expect((await node.poll()).exitCode).toBe(0);
      const reasons = new Set<unknown>();
      let revision = 1000;
      let failures = 0;
      for (let kilobytes = 0; kilobytes < 240; kilobytes += 8) {
        const { bavail, bsize } = statfsSync(node.config.out);
        writeFileSync(ballast, Buffer.alloc(Math.max(bavail * bsize - (kilobytes << 10), 0)));
        revision += 1;
        server.serves = { ...more, revision };
        const before = served(node.config.out);
        const { exitCode } = await node.poll();
        if (exitCode !== 0) {
          expect([exitCode, server.reports.at(-1)?.status], `${kilobytes}`).toEqual([75, "failed"]);
          failures += 1;
          reasons.add(server.reports.at(-1)?.reason);
          const { users, mailboxes, domains } = serves(node.config.out);
          const known = new Set(users.map((record) => record.user));
          expect(mailboxes.length, `${kilobytes}`).toBeGreaterThanOrEqual(100);
          expect(
            mailboxes.every((address) => known.has(address)),
            `${kilobytes}`,
          ).toBe(true);
          expect(domains).toEqual(["example.nl"]);
          if (known.size === 100) expect(served(node.config.out), `${kilobytes}`).toEqual(before);
        }
        rmSync(ballast);
        expect((await node.poll()).exitCode).toBe(0);
        expect(serves(node.config.out)).toEqual(expectedOf(more));
        revision += 1;
        server.serves = { ...few, revision };
        expect((await node.poll()).exitCode).toBe(0);
      }
      expect(reasons).toEqual(new Set(["disk_full"]));
      expect(failures).toBeGreaterThan(5);
    });

    it("status says that the disk is full, or mounted read-only, from that moment on", async (context) => {
      const server = await startServer(few);
      const node = nodeOf(server);
      if (!onSmallDisk(node, 400)) return context.skip("no disk can be mounted here");
      const disk = join(node.config.out, "..");
      const status = async (): Promise<[code: number, text: string]> => {
        node.printed.length = 0;
        const argv = ["status", "--out", node.config.out];
        const code = await main(argv, {}, node.host, new AbortController().signal);
        return [code, node.printed.join("")];
      };
      await node.poll();
      expect(await status()).toEqual([0, expect.stringContaining("all is well")]);
      const { bavail, bsize } = statfsSync(disk);
      writeFileSync(join(disk, "ballast"), Buffer.alloc(bavail * bsize));
      expect(await status()).toEqual([75, expect.stringMatching(/^unwritable +the disk is full/m)]);
      rmSync(join(disk, "ballast"));
      expect((await status())[0]).toBe(0);
      expect(spawnSync("mount", ["-o", "remount,ro", disk]).status).toBe(0);
      expect(await status()).toEqual([78, expect.stringMatching(/^unwritable .*read-only \(EROFS\)$/m)]);
    });

    it("a first state that does not fit leaves no empty map behind, which would answer 550 to all mail", async (context) => {
      const server = await startServer(more);
      for (const size of [40, 60, 80, 100, 120, 140, 160, 180]) {
        const node = nodeOf(server);
        if (!onSmallDisk(node, size)) return context.skip("no disk can be mounted here");
        const { exitCode } = await node.poll();
        expect(exitCode, `${size}`).toBe(75);
        expect(server.reports.at(-1)).toMatchObject({ status: "failed", reason: "disk_full", revision: 0 });
        expect(served(node.config.out), `${size}`).toEqual({});
      }
    });
  },
);
