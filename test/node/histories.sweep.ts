/** Two databases behind one address, and restores, with the real server. */
import { copyFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { describe, expect, it } from "vitest";
import { backUp } from "../../db/sqlite/backup.ts";
import { restore } from "../../db/sqlite/restore.ts";
import { main } from "../../src/node/cli.ts";
import { servedState } from "../support/recount.ts";
import { startServer, type TestServer } from "../support/server.ts";
import { temporaryFolder } from "../support/store.ts";
import { daemons, served, servedAliases } from "./folder.ts";
import { type RealServer, realServer } from "./real-server.ts";
import { metaOf, usersIn } from "./support.ts";

const USERS = ["jan@example.nl", "piet@example.nl"];

/** A server whose database began as a copy: restored with the command, or copied by hand. */
async function twinOf({ server }: RealServer, how: "restored" | "by hand"): Promise<TestServer> {
  const copy = join(temporaryFolder(), "copy.db");
  await backUp(server.database, copy);
  if (how === "restored") {
    const twin = await startServer();
    await restore(twin.database, copy);
    return twin;
  }
  const db = join(temporaryFolder(), "m25-mail.db");
  copyFileSync(copy, db);
  writeFileSync(join(dirname(db), "first-token"), server.token);
  return await startServer({ db });
}

describe("two servers with different histories behind one address", () => {
  it.each(["restored", "by hand"] as const)(
    "a twin that was %s: the node goes over to the later history once, not back and forth",
    async (how) => {
      const real = await realServer(USERS);
      const { server, proxy, node, must, listed } = real;
      const twin = await twinOf(real, how);
      await must("add-user", { email: "els@example.nl", password: "correct horse" });
      expect((await node.poll()).exitCode).toBe(0);
      proxy.target = twin.url;
      expect((await node.poll()).exitCode).toBe(0);
      const before = served(node.config.out);
      proxy.target = server.url;
      for (const _ of ["once", "and again"]) {
        expect(await node.poll()).toMatchObject({ exitCode: 65, reported: true });
        expect(served(node.config.out)).toEqual(before);
        await expect.poll(listed).toMatchObject({
          status: "failing",
          reason: "returned_history",
          applied_revision: null,
          hint: expect.arrayContaining([{ operator: "restore FILE" }]),
        });
      }
      const { out } = node.config;
      node.printed.length = 0;
      expect(await main(["status", "--out", out], {}, node.machine, new AbortController().signal)).toBe(65);
      expect(node.printed.join("")).toMatch(/^in short +a server with an older copy of the database/m);
      // The one that it follows now is heard as before.
      proxy.target = twin.url;
      expect((await node.poll()).exitCode).toBe(0);

      proxy.target = server.url;
      expect((await node.poll()).exitCode).toBe(65);

      // As the hint says.
      const copy = join(temporaryFolder(), "copy.db");
      await backUp(server.database, copy);
      await restore(server.database, copy);
      proxy.target = server.url;
      expect((await node.poll()).exitCode).toBe(0);
      expect(usersIn(out).map(({ user }) => user)).toEqual(["els@example.nl", ...USERS]);
      await expect.poll(listed).toMatchObject({ status: "current", reason: null });
    },
  );

  it("a copy that was put back by hand and answers alone: the node goes over to it by itself", async () => {
    const real = await realServer(USERS);
    const { server, proxy, node, must, listed } = real;
    await node.poll();
    const twin = await twinOf(real, "restored");
    proxy.target = twin.url;
    await node.poll();
    await must("add-user", { email: "els@example.nl", password: "correct horse" });
    proxy.target = server.url;
    for (let time = 0; time < 9; time += 1) expect((await node.poll()).exitCode).toBe(65);
    // Heard once in between, and all begins anew.
    proxy.target = twin.url;
    expect((await node.poll()).exitCode).toBe(0);
    proxy.target = server.url;
    for (let time = 0; time < 10; time += 1) expect((await node.poll()).exitCode, `${time}`).toBe(65);
    expect((await node.poll()).exitCode).toBe(0);
    expect(usersIn(node.config.out).map(({ user }) => user)).toContain("els@example.nl");
    await expect.poll(listed).toMatchObject({ status: "current", reason: null });
  });

  it("--dry-run refuses what a poll would refuse", async () => {
    const real = await realServer(USERS);
    const { server, proxy, node } = real;
    await node.poll();
    proxy.target = (await twinOf(real, "restored")).url;
    await node.poll();
    proxy.target = server.url;
    node.config.dryRun = true;
    expect((await node.poll()).exitCode).toBe(65);
    expect(node.printed).toEqual([]);
  });
});

describe("a restore", () => {
  it("that removes many mailboxes must be accepted after the node has taken it; an earlier acceptance does not count", async () => {
    const { server, node, must, listed } = await realServer(USERS);
    const copy = join(temporaryFolder(), "copy.db");
    await backUp(server.database, copy);
    const many = Array.from({ length: 8 }, (_, n) => `u${n}@example.nl`);
    for (const email of many) await must("add-user", { email, password: "correct horse" });
    expect((await node.poll()).exitCode).toBe(0);
    await restore(server.database, copy);
    const early = { withheld: 0, not_arrived: ["pi"] };
    expect(await must("accept-removals", { all: true })).toMatchObject(early);
    expect((await node.poll()).exitCode).toBe(65);
    await expect.poll(listed).toMatchObject({ reason: "removals_withheld", reason_count: 8 });
    expect(await must("accept-removals", { all: true })).toMatchObject({ withheld: 8, not_arrived: [] });
    expect((await node.poll()).exitCode).toBe(0);
    expect(usersIn(node.config.out).map(({ user }) => user)).toEqual(USERS);
    await expect.poll(listed).toMatchObject({ status: "current", reason: null });
  });

  it("to before or after aliases were set: the node takes the new history, and its aliases are the store's", async () => {
    const { server, node, must, listed } = await realServer(USERS);
    const before = join(temporaryFolder(), "before.db");
    const after = join(temporaryFolder(), "after.db");
    const [jan, piet] = USERS;
    await must("set-alias", { address: "info@example.nl", targets: [jan] });
    await backUp(server.database, before);
    await must("set-alias", { address: "info@example.nl", targets: USERS, send_as: true });
    await must("set-alias", { address: "@example.nl", targets: ["info@example.nl"] });
    await must("set-domain-alias", { domain: "more.nl", of: "example.nl" });
    await must("set-postmaster", { address: piet });
    await backUp(server.database, after);
    const later = [
      { alias: "@", targets: [piet], send_as: false },
      { alias: "@example.nl", targets: USERS, send_as: false },
      { alias: "info@example.nl", targets: USERS, send_as: true },
      { domain_alias: "more.nl", of: "example.nl" },
    ];
    const agrees = async () => {
      expect((await node.poll()).exitCode).toBe(0);
      const { aliases, domainAliases, history } = await servedState(server.store);
      const stored = [...aliases.values()].sort((a, b) => (a.alias < b.alias ? -1 : 1));
      expect(servedAliases(node.config.out)).toEqual([...stored, ...domainAliases.values()]);
      expect(metaOf(node.config.out)).toMatchObject({ history });
      await expect.poll(listed).toMatchObject({ status: "current", reason: null });
      return servedAliases(node.config.out);
    };
    expect(await agrees()).toEqual(later);
    await restore(server.database, before);
    expect(await agrees()).toEqual([{ alias: "info@example.nl", targets: [jan], send_as: false }]);
    expect(daemons.domain(node.config.out, "more.nl")).toEqual([]);
    await restore(server.database, after);
    expect(await agrees()).toEqual(later);
    expect(daemons.leads(node.config.out, "postmaster@more.nl")).toEqual([piet]);
    // The restored aliases still follow what they lead to, in a delta.
    await must("remove-user", { email: jan });
    expect(await agrees()).toEqual([
      { alias: "@", targets: [piet], send_as: false },
      { alias: "@example.nl", targets: [piet], send_as: false },
      { alias: "info@example.nl", targets: [piet], send_as: true },
      { domain_alias: "more.nl", of: "example.nl" },
    ]);
  });

  it("of a restore of a restore needs no human, however often", async () => {
    const { server, node, listed } = await realServer(USERS);
    const copy = join(temporaryFolder(), "copy.db");
    await backUp(server.database, copy);
    for (let time = 0; time < 20; time += 1) {
      expect((await node.poll()).exitCode, `${time}`).toBe(0);
      await restore(server.database, copy);
      if (time % 2 === 0) await backUp(server.database, copy);
    }
    expect((await node.poll()).exitCode).toBe(0);
    await expect.poll(listed).toMatchObject({ status: "current" });
  });
});
