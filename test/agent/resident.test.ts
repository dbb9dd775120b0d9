import { rmSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { main } from "../../src/agent/cli.ts";
import { nextWait } from "../../src/agent/resident.ts";
import { expectedOf, hash, nodeOf, serves, startServer, stateOf, user } from "./support.ts";

const one = stateOf(1, ["example.nl"], [user("jan@example.nl")]);
const two = stateOf(2, ["example.nl"], [user("jan@example.nl", { password: hash("b") })]);

describe("the wait between two polls", () => {
  it("is a minute, more or less, so that nodes do not all come at once", () => {
    expect([0, 0.5, 1].map((random) => nextWait(0, undefined, random))).toEqual([54_000, 60_000, 66_000]);
  });

  it("grows with every failure, and stays below the five minutes after which a node is stale", () => {
    expect([1, 2, 3, 4, 50].map((failures) => nextWait(failures, undefined, 0.5))).toEqual([
      60_000, 120_000, 240_000, 240_000, 240_000,
    ]);
    expect(nextWait(1000, undefined, 1)).toBeLessThan(300_000);
  });

  it("is what the server asks for, and never none or more than an hour", () => {
    expect(nextWait(1, 7000, 0)).toBe(7000);
    expect(nextWait(9, 600_000, 1)).toBeCloseTo(660_000);
    expect(nextWait(1, 1, 0)).toBe(1000);
    expect(nextWait(1, 9e12, 0)).toBe(3_600_000);
  });
});

describe("the resident program", () => {
  it("polls on one connection, reports its state at the start, and goes on after every fault", async () => {
    const server = await startServer(one);
    const node = nodeOf(server);
    await node.poll();
    const { connections } = server;
    server.reports.length = 0;

    const stop = new AbortController();
    const waits: number[] = [];
    server.reportStatus = 503;
    const rounds: (() => void)[] = [
      () => {
        expect(server.reports).toHaveLength(0);
        server.reportStatus = 204;
      },
      () => expect(server.reports).toHaveLength(1),
      () => {
        expect(server.reports).toHaveLength(1);
        expect(server.connections).toBe(connections + 2);
        server.serves = (_, response) => response.writeHead(503, { "Retry-After": "5" }).end();
      },
      () => {
        server.serves = (_, response) => response.writeHead(401).end();
      },
      () => rmSync(node.config.keyFile),
      () => {
        expect(node.log.at(-1)).toContain("does not exist");
        stop.abort();
      },
    ];
    node.host.random = () => 0.5;
    node.host.clock = {
      now: () => Date.now(),
      sleep: async (milliseconds) => {
        waits.push(Math.round(milliseconds));
        rounds.shift()?.();
      },
    };
    const { keyFile, out } = node.config;
    const argv = ["run", "--server", server.url.href, "--key-file", keyFile, "--out", out];
    expect(await main(argv, {}, node.host, stop.signal)).toBe(0);
    expect(waits).toEqual([60_000, 60_000, 60_000, 5250, 120_000, 240_000]);
    expect(serves(out)).toEqual(expectedOf(one));
  });

  it("told to stop in the middle of an update, it finishes the update first", async () => {
    const server = await startServer(one);
    const node = nodeOf(server);
    await node.poll();
    server.serves = two;
    const stop = new AbortController();
    const { files } = node.host;
    node.host.files = {
      ...files,
      rename: async (from, to) => {
        await files.rename(from, to);
        if (to.endsWith("/pending.ndjson")) stop.abort();
      },
    };
    const { keyFile, out } = node.config;
    const argv = ["run", "--server", server.url.href, "--key-file", keyFile, "--out", out];
    expect(await main(argv, {}, node.host, stop.signal)).toBe(0);
    expect(serves(out)).toEqual(expectedOf(two));
    // What could not be said any more is said by the next poll.
    expect(server.reports.map((report) => report.revision)).toEqual([1]);
    await node.poll();
    expect(server.reports.map((report) => report.revision)).toEqual([1, 2]);
  });
});
