import { execFileSync } from "node:child_process";
import { mkdirSync, readdirSync, rmSync, statfsSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { backUp } from "../../db/sqlite/backup.ts";
import { openStore } from "../../db/sqlite/store.ts";
import { m25mail } from "../support/program.ts";
import { kept, rawDatabase, recount } from "../support/recount.ts";
import { startServer } from "../support/server.ts";
import { PASSWORD, stateOf, temporaryFolder, testRuntime } from "../support/store.ts";

const root = process.getuid?.() === 0;

/** A folder on a small disk. `fill` uses up its space. */
function smallDisk(size = "2m") {
  const folder = join(temporaryFolder(), "disk");
  mkdirSync(folder);
  execFileSync("mount", ["-t", "tmpfs", "-o", `size=${size},mode=700`, "tmpfs", folder]);
  onTestFinished(() => void execFileSync("umount", [folder]));
  const ballast = join(folder, "ballast");
  const fill = () => {
    try {
      for (let size = 65536; ; ) writeFileSync(ballast, Buffer.alloc(size), { flag: "a" });
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "ENOSPC") throw error;
    }
  };
  return { folder, fill, free: () => rmSync(ballast) };
}

test.skipIf(!root)(
  "on a full disk a change is refused as a whole, and works once space is free (needs root)",
  async () => {
    const disk = smallDisk();
    const file = join(disk.folder, "m25-mail.db");
    const store = openStore(file, { create: true });
    onTestFinished(() => store.close());
    const { must, run, bugs } = testRuntime(store);
    await must("add-domain", { domain: "example.nl" });
    disk.fill();

    let refused = 0;
    for (let index = 0; index < 20 && refused < 3; index += 1) {
      const before = await stateOf(store);
      const outcome = await run("add-user", { email: `u${index}@example.nl`, password: PASSWORD });
      if (outcome.ok) continue; // the write-ahead log still had room
      refused += 1;
      expect(outcome.error).toMatchObject({ code: "unavailable", message: expect.stringContaining("full") });
      expect(outcome.error.message).not.toContain(disk.folder);
      expect(await stateOf(store)).toEqual(before);
    }
    expect(refused).toBe(3);
    expect(await must("list-domains")).toMatchObject({ total: 1 });

    disk.free();
    await must("add-user", { email: "after@example.nl", password: PASSWORD });
    const database = rawDatabase(file);
    expect(kept(database)).toEqual(recount(database));
    expect(bugs).toEqual([]);
  },
);

test.skipIf(!root)(
  'on a full disk a command ends with 75, which means "run again", and lists still work (needs root)',
  async () => {
    const disk = smallDisk();
    const file = join(disk.folder, "m25-mail.db");
    const store = openStore(file, { create: true });
    onTestFinished(() => store.close());
    disk.fill();
    const { run } = testRuntime(store);
    for (let index = 0; index < 50; index += 1) {
      if (!(await run("add-domain", { domain: `d${index}.nl` })).ok) break;
    }
    const listed = await m25mail(["call", "list-domains", "--json", "--db", file]);
    expect(listed).toMatchObject({ code: 0, stderr: "" });
    const added = await m25mail(["call", "add-domain", "--domain", "example.nl", "--db", file]);
    expect(added).toMatchObject({ code: 75, stdout: "" });
    expect(added.stderr).toMatch(/^unavailable: /);
    const refused = await m25mail(["call", "remove-domain", "--domain", "absent.nl", "--db", file]);
    expect(refused.stderr).toMatch(
      /^\S+ warn a refusal could not be written to the audit log: .*full.* request=\S+\ndomain_not_found: /,
    );
  },
);

test.skipIf(!root)(
  "on a disk without room for the former content a restore changes nothing (needs root)",
  async () => {
    const disk = smallDisk("8m");
    const file = join(disk.folder, "m25-mail.db");
    const backup = join(temporaryFolder(), "backup");
    const store = openStore(file, { create: true });
    const { must } = testRuntime(store);
    await must("add-domain", { domain: "example.nl" });
    await backUp(file, backup);
    await must("add-domain", { domain: "mistake.nl" });
    await store.close();
    const before = kept(rawDatabase(file));
    const free = () => statfsSync(disk.folder).bavail * 4096;
    // Room for the backup's copy, and for half of another.
    const size = statSync(backup).size;
    writeFileSync(join(disk.folder, "ballast"), Buffer.alloc(free() - 1.5 * size));
    const refused = await m25mail(["restore", backup, "--yes", "--db", file]);
    expect(refused).toMatchObject({ code: 75, stdout: "", stderr: expect.stringMatching(/full/) });
    expect(kept(rawDatabase(file))).toEqual(before);
    expect(readdirSync(disk.folder).filter((name) => /before|restore/.test(name))).toEqual([]);
    disk.free();
    expect(await m25mail(["restore", backup, "--yes", "--db", file])).toMatchObject({ code: 0 });
    expect(readdirSync(disk.folder).filter((name) => /before/.test(name))).toHaveLength(1);
  },
);

test.skipIf(!root)(
  "on a full disk a node is told to retry, and gets its maps once there is room (needs root)",
  async () => {
    const disk = smallDisk("16m");
    const server = await startServer({ db: join(disk.folder, "m25-mail.db") });
    await server.api("add-domain", { domain: "example.nl" });
    const key = String((await server.api("add-node", { name: "pi" })).body.sync_key);
    const shell = testRuntime(server.store);
    for (let index = 0; index < 100; index += 1) {
      await shell.must("add-user", { email: `u${index}@example.nl`, password: `password ${index}` });
    }
    disk.fill();
    const poll = () => fetch(`${server.url}/sync/v1/maps`, { headers: { authorization: `Bearer ${key}` } });
    const refused = await poll();
    expect(refused.status).toBe(503);
    expect(refused.headers.get("retry-after")).toBe("30");
    expect(await refused.json()).toMatchObject({
      code: "unavailable",
      detail: expect.stringContaining("full"),
    });
    disk.free();
    expect((await poll()).status).toBe(200);
    expect(server.log.join()).not.toContain("bug");
  },
);

test.skipIf(!root)(
  "on a full disk the use of an ended key is still logged, and why it is not recorded (needs root)",
  async () => {
    const disk = smallDisk();
    let now = new Date();
    const server = await startServer({ db: join(disk.folder, "m25-mail.db") }, { now: () => now });
    const key = String((await server.api("add-node", { name: "pi" })).body.sync_key);
    const poll = (bearer: string) =>
      fetch(`${server.url}/sync/v1/maps`, { headers: { authorization: `Bearer ${bearer}` } });
    const { must, run } = testRuntime(server.store);
    expect((await poll(String((await must("rotate-key", { name: "pi" })).sync_key))).status).toBe(200);
    now = new Date(now.getTime() + 3_600_000);
    disk.fill();
    // The write-ahead log still had room.
    for (let index = 0; (await run("add-domain", { domain: `d${index}.nl` })).ok; index += 1);
    expect((await poll(key)).status).toBe(401);
    await expect
      .poll(() => server.log)
      .toContainEqual(
        expect.stringMatching(
          /^the use of an ended key could not be noted: The disk with .* is full\. \{\}$/,
        ),
      );
    expect(server.log.join()).toContain("was used after it had ended");
  },
);
