import { describe, expect, it } from "vitest";
import { stateTag } from "../../src/sync/answer.ts";
import { stateOf } from "./answers.ts";
import { served } from "./folder.ts";
import { one, two } from "./states.ts";
import { expectedOf, KEY, nodeOf, picture, serves, startServer } from "./support.ts";

describe("one poll", () => {
  it("brings a new node to the server's state and tells the server", async () => {
    const server = await startServer(one);
    const node = nodeOf(server);
    expect(await node.poll()).toMatchObject({ exitCode: 0, reported: true });
    expect(serves(node.config.out)).toEqual(expectedOf(one));
    expect(server.reports).toEqual([
      {
        revision: 1,
        history: one.history,
        digest: one.digest,
        counts: { domains: 1, users: 2, aliases: 0, domain_aliases: 0 },
        status: "applied",
        reason: null,
        count: null,
        withheld: { domains: 0, users: 0, aliases: 0, domain_aliases: 0 },
        version: "dev",
      },
    ]);
    expect(Object.keys(picture(node.config.out)).sort()).toEqual(["addresses.db", "logins.db"]);
  });

  it("sends the key, its program's name, and the tag of its state once it has one", async () => {
    const server = await startServer(one);
    const node = nodeOf(server);
    await node.poll();
    await node.poll();
    const [first, second] = server.requests.map((request) => request.headers);
    expect(first).toMatchObject({
      authorization: `Bearer ${KEY}`,
      "accept-encoding": "br, gzip",
      "user-agent": "m25-mail-node/dev",
    });
    expect(first).not.toHaveProperty("if-none-match");
    expect(second).toMatchObject({ "if-none-match": stateTag(one) });
  });

  it("a second poll with nothing changed writes nothing and reports nothing", async () => {
    const server = await startServer(one);
    const node = nodeOf(server);
    await node.poll();
    const before = picture(node.config.out);
    node.commands.length = 0;
    expect(await node.poll()).toMatchObject({ exitCode: 0, reported: false });
    expect(picture(node.config.out)).toEqual(before);
    expect(node.commands).toEqual([]);
    expect(server.reports).toHaveLength(1);
  });

  it("goes from one state to the next, in all files", async () => {
    const server = await startServer(one);
    const node = nodeOf(server);
    await node.poll();
    server.serves = two;
    expect((await node.poll()).exitCode).toBe(0);
    expect(serves(node.config.out)).toEqual(expectedOf(two));
    expect(server.reports.map((report) => report.revision)).toEqual([1, 2]);
  });

  it("an empty state is served: no users, no domains, and look-ups that find nobody", async () => {
    const server = await startServer(one);
    const node = nodeOf(server);
    await node.poll();
    const empty = stateOf(2, [], []);
    server.serves = empty;
    expect((await node.poll()).exitCode).toBe(0);
    expect(serves(node.config.out)).toEqual(expectedOf(empty));
  });

  it("a failed report is sent again at the next poll, and changes no exit code", async () => {
    const server = await startServer(one);
    const node = nodeOf(server);
    server.reportStatus = 500;
    expect(await node.poll()).toMatchObject({ exitCode: 0, reported: false });
    expect(node.log.join("\n")).toContain("warning: the server did not take the report");
    const before = served(node.config.out);
    server.reportStatus = 204;
    expect(await node.poll()).toMatchObject({ exitCode: 0, reported: true });
    expect(await node.poll()).toMatchObject({ exitCode: 0, reported: false });
    expect(served(node.config.out)).toEqual(before);
    expect(server.reports).toHaveLength(1);
  });

  it("reports again after an hour, because the server may have forgotten", async () => {
    const server = await startServer(one);
    const node = nodeOf(server);
    await node.poll();
    const { clock } = node.machine;
    node.machine.clock = { ...clock, now: () => Date.now() + 3_700_000 };
    expect(await node.poll()).toMatchObject({ exitCode: 0, reported: true });
    expect(server.reports).toHaveLength(2);
  });
});
