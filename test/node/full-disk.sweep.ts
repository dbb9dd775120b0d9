/** A disk that is full, or becomes full: what is served stays, the server is told, and room is all that is needed. */
import { execFileSync, spawnSync } from "node:child_process";
import { mkdirSync, rmSync, statfsSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { hash, stateOf, user } from "./answers.ts";
import { served, temporaryFolder } from "./folder.ts";
import { nodeOf, startServer } from "./support.ts";

const canMount = process.geteuid?.() === 0 && spawnSync("unshare", ["--mount", "true"]).status === 0;
const PAGE = 4096;

/** A file system of its own, of a few megabytes. */
function smallDisk(): string {
  const folder = join(temporaryFolder(), "disk");
  mkdirSync(folder);
  execFileSync("mount", ["-t", "tmpfs", "-o", "size=4m,mode=0755", "tmpfs", folder]);
  onTestFinished(() => void execFileSync("umount", [folder]));
  return folder;
}

const many = (revision: number, letter: string) =>
  stateOf(
    revision,
    ["example.nl"],
    Array.from({ length: 500 }, (_, index) =>
      user(`u${String(index).padStart(3, "0")}@example.nl`, { password: hash(letter) }),
    ),
  );

test.skipIf(!canMount)(
  "an update fails at whatever page the disk is full at, and no file is served by half",
  async () => {
    for (let room = 0; room < 60; room += 4) {
      const disk = smallDisk();
      const server = await startServer(many(1, "a"));
      const node = nodeOf(server);
      node.config.out = join(disk, "out");
      expect((await node.poll()).exitCode).toBe(0);
      const before = served(node.config.out);
      const filler = join(disk, "filler");
      const { bavail, bsize } = statfsSync(disk);
      writeFileSync(filler, Buffer.alloc(Math.max(bavail * bsize - room * PAGE, 0)));
      const one = [...many(2, "a").users.keys()].slice(1);
      server.serves = stateOf(2, ["example.nl", "new.nl"], [...many(2, "b").users.values()].slice(1));
      const { exitCode } = await node.poll();
      if (exitCode === 0) {
        expect(served(node.config.out).addresses).toEqual(one);
        break;
      }
      expect(exitCode).toBe(75);
      expect(server.reports.at(-1)).toMatchObject({ status: "failed", reason: "disk_full" });
      // Each file is whole. The logins are committed first, and may be ahead of the addresses until there is room.
      const now = served(node.config.out);
      expect({ ...now, logins: before.logins }).toEqual(before);
      expect([before.logins, one]).toContainEqual(now.logins);
      rmSync(filler);
      expect((await node.poll()).exitCode).toBe(0);
      expect(served(node.config.out).addresses).toEqual(one);
    }
  },
);
