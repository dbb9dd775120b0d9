import {
  chmodSync,
  lstatSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { stateTag } from "../../src/sync/answer.ts";
import { one } from "./states.ts";
import { expectedOf, type Node, nodeOf, picture, served, serves, startServer } from "./support.ts";

const spoil: Record<string, (path: string) => void> = {
  deleted: (path) => rmSync(path),
  truncated: (path) => writeFileSync(path, ""),
  edited: (path) => writeFileSync(path, readFileSync(path, "latin1").replace("j", "J"), "latin1"),
  "readable by all": (path) => chmodSync(path, 0o666),
  "a link": (path) => {
    renameSync(path, `${path}.away`);
    symlinkSync(`${path}.away`, path);
  },
};

function lookOf(node: Node, name: string): { mode: number; mtimeMs: number; ino: number } {
  return JSON.parse(served(node.config.out)[name] ?? "");
}

describe("what is not as it was written", () => {
  it.each(Object.entries(spoil))(
    "a file that is %s is made anew, even when the server has no news",
    async (how, change) => {
      const server = await startServer(one);
      const node = nodeOf(server);
      await node.poll();
      for (const name of Object.keys(served(node.config.out))) {
        const before = lookOf(node, name);
        change(join(node.config.out, name));
        node.log.length = 0;
        expect((await node.poll()).exitCode, name).toBe(0);
        expect(serves(node.config.out), name).toEqual(expectedOf(one));
        expect(lookOf(node, name).mode, name).toBe(before.mode);
        expect(lstatSync(join(node.config.out, name)).isFile(), name).toBe(true);
        expect(node.log.join("\n"), `${name} ${how}`).toMatch(/^making anew/m);
        if (name === "users")
          expect(lookOf(node, name).mtimeMs).toBeGreaterThanOrEqual(before.mtimeMs + 1000);
        rmSync(join(node.config.out, `${name}.away`), { force: true });
      }
      const tags = server.requests.slice(1).map((request) => request.headers["if-none-match"]);
      expect(new Set(tags)).toEqual(new Set([stateTag(one)]));
      expect(server.reports.every(({ status, revision }) => status === "applied" && revision === 1)).toBe(
        true,
      );
    },
  );

  it("a map whose text was changed gets its content back in place, where Postfix has it open", async () => {
    const server = await startServer(one);
    const node = nodeOf(server);
    await node.poll();
    const { ino } = lookOf(node, "mailboxes.lmdb");
    writeFileSync(join(node.config.out, "mailboxes"), "");
    await node.poll();
    expect(lookOf(node, "mailboxes.lmdb").ino).toBe(ino);
  });

  it("files are made anew while the server is away", async () => {
    const server = await startServer(one);
    const node = nodeOf(server);
    await node.poll();
    await server.close();
    for (const name of Object.keys(served(node.config.out))) rmSync(join(node.config.out, name));
    expect((await node.poll()).exitCode).toBe(75);
    expect(serves(node.config.out)).toEqual(expectedOf(one));
  });

  it("without state.json everything is made anew from the snapshot, and without both from the server", async () => {
    const server = await startServer(one);
    const node = nodeOf(server);
    await node.poll();
    for (const lost of [["state.json"], ["snapshot.ndjson"], ["state.json", "snapshot.ndjson"]]) {
      for (const content of [undefined, "", "{", "null", '{"format":1}']) {
        for (const name of lost) {
          if (content === undefined) rmSync(join(node.config.out, name));
          else writeFileSync(join(node.config.out, name), content);
        }
        expect((await node.poll()).exitCode).toBe(0);
        expect(serves(node.config.out)).toEqual(expectedOf(one));
        const settled = picture(node.config.out);
        expect((await node.poll()).exitCode).toBe(0);
        expect(picture(node.config.out)).toEqual(settled);
      }
    }
  });

  it("only the snapshot lost: it is fetched again, and no file that a daemon reads is touched", async () => {
    const server = await startServer(one);
    const node = nodeOf(server);
    await node.poll();
    const before = served(node.config.out);
    rmSync(join(node.config.out, "snapshot.ndjson"));
    expect((await node.poll()).exitCode).toBe(0);
    expect(server.requests.at(-1)?.headers).not.toHaveProperty("if-none-match");
    expect(served(node.config.out)).toEqual(before);
  });

  it("another --mail-root moves the homes at once, without news from the server", async () => {
    const server = await startServer(one);
    const node = nodeOf(server);
    await node.poll();
    node.config.mailRoot = "/srv/mail";
    expect((await node.poll()).exitCode).toBe(0);
    expect(readFileSync(join(node.config.out, "users"), "utf8")).toContain("::::/srv/mail/example.nl/jan.");
  });

  it("users are given to Dovecot's group as soon as there is one", async (context) => {
    if (process.geteuid?.() !== 0) return context.skip("only root can give files away");
    const server = await startServer(one);
    const node = nodeOf(server);
    const owner = (): { gid: number; mode: number } => {
      const { gid, mode } = statSync(join(node.config.out, "users"));
      return { gid, mode: mode & 0o777 };
    };
    node.host.identity = { root: true, groups: [0], dovecotGroup: async () => undefined };
    await node.poll();
    expect(owner()).toEqual({ gid: 0, mode: 0o600 });
    node.host.identity = { root: true, groups: [0], dovecotGroup: async () => 4711 };
    await node.poll();
    expect(owner()).toEqual({ gid: 4711, mode: 0o640 });
  });
});
