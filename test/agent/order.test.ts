import { describe, expect, it } from "vitest";
import { stateTag } from "../../src/sync/answer.ts";
import { one, two } from "./states.ts";
import {
  expectedOf,
  hash,
  nodeOf,
  quickClock,
  served,
  serves,
  startServer,
  stateOf,
  user,
} from "./support.ts";

describe("the order of an update", () => {
  it("a quota alone changes users and leaves Postfix's maps alone", async () => {
    const server = await startServer(one);
    const node = nodeOf(server);
    await node.poll();
    const before = served(node.config.out);
    node.commands.length = 0;
    server.serves = stateOf(
      2,
      ["example.nl"],
      [user("jan@example.nl"), user("piet@example.nl", { quota_mb: 6 })],
    );
    await node.poll();
    const after = served(node.config.out);
    expect(node.commands).toEqual([]);
    expect(Object.keys(after).filter((name) => after[name] !== before[name])).toEqual(["users"]);
  });

  it("a new number for the same content changes no file that a daemon reads", async () => {
    const server = await startServer(one);
    const node = nodeOf(server);
    await node.poll();
    const before = served(node.config.out);
    server.serves = { ...one, revision: 9 };
    expect((await node.poll()).exitCode).toBe(0);
    expect(served(node.config.out)).toEqual(before);
    expect(server.reports.at(-1)).toMatchObject({ revision: 9, status: "applied" });
    await node.poll();
    expect(server.requests.at(-1)?.headers["if-none-match"]).toBe(stateTag({ ...one, revision: 9 }));
  });

  it("changes .lmdb files in place, where Postfix has them open, and only a first one is renamed into place", async () => {
    const server = await startServer(one);
    const node = nodeOf(server);
    await node.poll();
    expect(node.commands).toEqual(
      ["mailboxes", "senders", "domains"].map((map) => `postmap -c postfix lmdb:.${map}.new`),
    );
    const inode = (): number => JSON.parse(served(node.config.out)["mailboxes.lmdb"] ?? "").ino;
    const first = inode();
    node.commands.length = 0;
    server.serves = two;
    await node.poll();
    expect(node.commands).toEqual(
      ["mailboxes", "senders", "domains"].map((map) => `postmap -c postfix lmdb:${map}`),
    );
    expect(inode()).toBe(first);
  });

  it("users gets a later time, in whole seconds, with every change, also while the clock stands or goes back", async () => {
    const server = await startServer(one);
    const node = nodeOf(server);
    let now = Date.now();
    node.host.clock = { ...quickClock, now: () => now };
    const times: number[] = [];
    for (const [index, jump] of [0, 0, 0, -3_600_000, 0, 31_536_000_000, -31_536_000_000, 0].entries()) {
      now += jump;
      const letter = "abcdefgh"[index] ?? "a";
      server.serves = stateOf(
        index + 1,
        ["example.nl"],
        [user("jan@example.nl", { password: hash(letter) })],
      );
      expect((await node.poll()).exitCode).toBe(0);
      times.push(JSON.parse(served(node.config.out).users ?? "").mtimeMs / 1000);
    }
    expect(times.every((time) => Number.isInteger(time))).toBe(true);
    expect([...new Set(times)].sort((a, b) => a - b)).toEqual(times);
  });

  it("with a removal, users first holds old and new users together, and the last comes a second later", async () => {
    const server = await startServer(one);
    const seen: { users: string[]; seconds: number }[] = [];
    const node = nodeOf(server);
    const { files } = node.host;
    node.host.files = {
      ...files,
      rename: async (from, to) => {
        await files.rename(from, to);
        if (!to.endsWith("/users")) return;
        const stat = await files.stat(to);
        seen.push({
          users: serves(node.config.out).users.map((record) => record.user),
          seconds: Number(stat?.mtime_ns) / 1e9,
        });
      },
    };
    await node.poll();
    server.serves = two;
    await node.poll();
    expect(seen.map(({ users }) => users)).toEqual([
      ["jan@example.nl", "piet@example.nl"],
      ["els@new.nl", "jan@example.nl", "piet@example.nl"],
      ["els@new.nl", "jan@example.nl"],
    ]);
    const [, union, final] = seen.map(({ seconds }) => seconds);
    expect(final).toBe((union ?? 0) + 1);
  });

  it("users are written once where nobody goes, and where somebody goes and nobody comes", async () => {
    const server = await startServer(one);
    const node = nodeOf(server);
    const renamed: string[] = [];
    const { files } = node.host;
    node.host.files = {
      ...files,
      rename: (from, to) => {
        renamed.push(to.replace(/.*\//, ""));
        return files.rename(from, to);
      },
    };
    await node.poll();
    expect(renamed.filter((name) => name === "users")).toHaveLength(1);
    renamed.length = 0;
    server.serves = stateOf(2, ["example.nl"], [user("jan@example.nl")]);
    await node.poll();
    expect(renamed.filter((name) => name === "users")).toHaveLength(1);
    expect(serves(node.config.out)).toEqual(expectedOf(server.serves));
  });
});
