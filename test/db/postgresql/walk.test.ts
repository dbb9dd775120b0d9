import { existsSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { POSTGRESQL, testCluster } from "../../support/postgresql.ts";
import { m25mail, serveProcess, startM25mail } from "../../support/program.ts";
import { temporaryFolder } from "../../support/store.ts";
import { SyncingNode } from "../../support/syncing-node.ts";

describe.skipIf(POSTGRESQL === undefined)("on PostgreSQL", () => {
  test("serve makes its tables, the operator's commands work beside it, and a node gets domain, mailbox and changes", async () => {
    const address = await testCluster().database("walk");
    const folder = temporaryFolder();
    const server = await serveProcess(address, ["--folder", folder]);
    expect(existsSync(join(folder, "first-token"))).toBe(true);
    const shell = (...args: string[]) => m25mail([...args, "--db", address], { input: "" });
    expect(await shell("call", "add-domain", "--domain", "example.nl")).toMatchObject({ code: 0 });
    const added = await shell("call", "add-node", "--name", "pi");
    expect(added).toMatchObject({ code: 0 });
    const node = new SyncingNode(server.url, /m25key_\S+/.exec(added.stdout)?.[0] ?? "");
    expect(await node.poll()).toMatchObject({ status: 200, kind: "snapshot" });
    const waiting = node.poll({ prefer: "wait=60" });
    const addUser = ["call", "add-user", "--email", "jan@example.nl", "--db", address];
    expect(await m25mail(addUser, { input: "correct horse battery\n" })).toMatchObject({ code: 0 });
    expect(await waiting).toMatchObject({ status: 200, kind: "delta" });
    expect(node.state?.users.size).toBe(1);
    expect((await shell("call", "list-users")).stdout).toContain("jan@example.nl");
    expect((await shell("call", "list-nodes")).stdout).toContain("pi");
    server.child.kill("SIGTERM");
    expect(await server.finished).toMatchObject({ code: 0 });
  });

  test("a server that cannot start, because its port is taken, ends", async () => {
    const address = await testCluster().database("taken");
    const { port } = new URL((await serveProcess(address, ["--folder", temporaryFolder()])).url);
    const second = startM25mail(["serve", "--db", address, "--folder", temporaryFolder(), "--port", port]);
    const { code, stderr } = await second.finished;
    expect(code, stderr).not.toBe(0);
    expect(stderr).toContain(port);
  });

  test("commands make no tables, and name the database that has none", async () => {
    const address = await testCluster().database("empty");
    const answer = await m25mail(["token", "list", "--db", address]);
    expect(answer).toMatchObject({ code: 1, stdout: "" });
    expect(answer.stderr).toContain("has no tables of M25 Mail");
    const backup = await m25mail(["backup", "--db", address, "copy"]);
    expect(backup).toMatchObject({ code: 1, stdout: "" });
    expect(backup.stderr).toContain("pg_dump");
  });
});

test.each([
  ["postgres://m25:secret-word@db.example.net/m25", /--db has a password/],
  ["postgres://db.example.net", /--db names no database/],
  ["postgres://db.example.net/m25?sslmode=disable", /--db has the parameter sslmode/],
  ["postgres://m25@/m25", /--db is not an address/],
  ["postgres://m25@db1:5433,db2:5433/m25", /--db is not an address/],
  ["postgres:///m25?host=db1,db2&port=1,2,3", /--db has neither one port for all hosts nor one for each/],
])("the address %s is wrong usage, and is not repeated", async (address, words) => {
  for (const command of [
    ["serve", "--port", "0"],
    ["token", "list"],
  ]) {
    const answer = await m25mail([...command, "--db", address]);
    expect(answer).toMatchObject({ code: 2, stdout: "" });
    expect(answer.stderr).toMatch(words);
    expect(answer.stderr).not.toContain("secret-word");
  }
});
