import { randomBytes } from "node:crypto";
import {
  chmodSync,
  closeSync,
  copyFileSync,
  cpSync,
  existsSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  truncateSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { join } from "node:path";
import Database from "better-sqlite3";
import { describe, expect, it, onTestFinished, vi } from "vitest";
import { type Clock, thisMachine } from "../../src/machine/machine.ts";
import { main } from "../../src/node/cli.ts";
import { lockFile } from "../../src/node/lock.ts";
import { Sqlite } from "../../src/node/replica/sqlite.ts";
import type { MailState } from "../support/answer-reader.ts";
import { hash, stateOf, user } from "./answers.ts";
import { daemons, temporaryFolder } from "./folder.ts";
import { expectedOf, maps, type Node, nodeOf, serves, startServer } from "./support.ts";

const one = stateOf(1, ["example.nl"], [user("jan@example.nl")]);
const two = stateOf(2, ["example.nl"], [user("jan@example.nl", { password: hash("b") })]);

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
    node.machine.random = () => 0.5;
    node.machine.clock = {
      ...node.machine.clock,
      sleep: async (milliseconds) => {
        waits.push(Math.round(milliseconds));
        rounds.shift()?.();
      },
    };
    const { keyFile, out } = node.config;
    const argv = ["run", "--server", server.url.href, "--key-file", keyFile, "--out", out];
    expect(await main(argv, {}, node.machine, stop.signal)).toBe(0);
    // The first question asks for an answer at once. A server that has repeatedly not waited is then asked each
    // minute.
    expect(waits).toEqual([0, 2750, 60_000, 6250, 120_000, 240_000]);
    expect(serves(out)).toEqual(expectedOf(one));
  });

  it("warns about loose file permissions once, not at every poll", async () => {
    const server = await startServer(one);
    const node = nodeOf(server);
    await node.poll();
    const { keyFile, out } = node.config;
    chmodSync(keyFile, 0o644);
    chmodSync(out, 0o777);
    node.log.length = 0;
    const stop = new AbortController();
    let polls = 0;
    const sleep = async () => {
      polls += 1;
      if (polls === 3) stop.abort();
    };
    node.machine.clock = { ...node.machine.clock, sleep };
    const argv = ["run", "--server", server.url.href, "--key-file", keyFile, "--out", out];
    expect(await main(argv, {}, node.machine, stop.signal)).toBe(0);
    const said = (words: string) => node.log.filter((line) => line.includes(words)).length;
    expect([said("anybody may write to --out"), said("not only its owner")]).toEqual([1, 1]);
  });

  it("notices a damaged page that no change needs, and asks for everything again", async () => {
    const many = Array.from({ length: 2000 }, (_, index) =>
      user(`u${String(index).padStart(4, "0")}@example.nl`),
    );
    const state = stateOf(1, ["example.nl"], many);
    const server = await startServer(state);
    const node = nodeOf(server);
    const { keyFile, out } = node.config;
    const path = join(out, "logins.db");
    const stop = new AbortController();
    let later = 0;
    const rounds: (() => void)[] = [
      () => {
        const file = openSync(path, "r+");
        writeSync(file, Buffer.alloc(4096, 0xff), 0, 4096, 20 * 4096);
        closeSync(file);
      },
      () => {
        expect(node.log.join()).not.toContain("damaged");
        later = 60_000;
      },
      () => stop.abort(),
    ];
    const { monotonic } = node.machine.clock;
    node.machine.clock = {
      ...node.machine.clock,
      monotonic: () => monotonic() + later,
      sleep: async () => void rounds.shift()?.(),
    };
    const argv = ["run", "--server", server.url.href, "--key-file", keyFile, "--out", out];
    expect(await main(argv, {}, node.machine, stop.signal), node.log.join("\n")).toBe(0);
    expect(node.log).toContain(
      "logins.db is damaged: renaming it to logins.db.damaged, and making a new one",
    );
    expect(serves(out)).toEqual(expectedOf(state));
  });

  it("goes on at once, and says why, if sqlite3 ends while an answer comes", async () => {
    const server = await startServer(one);
    const node = nodeOf(server);
    const { run: runStatements } = Sqlite.prototype;
    let killed = 0;
    const spy = vi.spyOn(Sqlite.prototype, "run").mockImplementation(function (
      this: Sqlite,
      statements,
      rows,
    ) {
      if (statements.startsWith("DELETE FROM temp.incoming_domain") && killed++ === 0)
        process.kill(this.pid ?? 0, "SIGKILL");
      return runStatements.call(this, statements, rows);
    });
    onTestFinished(() => spy.mockRestore());
    expect(await node.poll()).toMatchObject({ exitCode: 0 });
    expect(node.log[0]).toBe("the replica cannot be used: the sqlite3 program has ended");
    expect(server.reports).toMatchObject([
      { status: "failed", reason: "write_failed" },
      { status: "applied" },
    ]);
    expect(serves(node.config.out)).toEqual(expectedOf(one));
  });

  it("finishes a running update before it stops", async () => {
    const server = await startServer(one);
    const node = nodeOf(server);
    await node.poll();
    server.serves = two;
    const stop = new AbortController();
    const { run: runStatements } = Sqlite.prototype;
    const spy = vi.spyOn(Sqlite.prototype, "run").mockImplementation(function (
      this: Sqlite,
      statements,
      rows,
    ) {
      if (statements.startsWith("BEGIN IMMEDIATE;")) stop.abort();
      return runStatements.call(this, statements, rows);
    });
    onTestFinished(() => spy.mockRestore());
    const { keyFile, out } = node.config;
    const argv = ["run", "--server", server.url.href, "--key-file", keyFile, "--out", out];
    expect(await main(argv, {}, node.machine, stop.signal)).toBe(0);
    expect(serves(out)).toEqual(expectedOf(two));
    // The next poll sends the report that was missing.
    expect(server.reports.map((report) => report.revision)).toEqual([1]);
    await node.poll();
    expect(server.reports.map((report) => report.revision)).toEqual([1, 2]);
  });

  it.each([
    ["removed", (out: string) => rmSync(out, { recursive: true })],
    ["moved away", (out: string) => renameSync(out, `${out}-old`)],
    [
      "replaced",
      (out: string) => {
        renameSync(out, `${out}-old`);
        cpSync(`${out}-old`, out, { recursive: true });
      },
    ],
  ])(
    "ends when its folder is %s, keeps other runs away until then, and its next start serves",
    async (_, act) => {
      const server = await startServer(one);
      const node = nodeOf(server);
      const { keyFile, out } = node.config;
      let other: unknown;
      node.machine.clock = {
        ...node.machine.clock,
        sleep: async () => {
          other = await lockFile(join(out, ".lock"), node.machine.log);
          act(out);
        },
      };
      const argv = ["run", "--server", server.url.href, "--key-file", keyFile, "--out", out];
      expect(await main(argv, {}, node.machine, new AbortController().signal)).toBe(75);
      expect(other).toBeUndefined();
      expect(node.log.at(-1)).toBe(
        `somebody has removed or replaced ${out}: this program ends, and must be started again, as systemd does`,
      );
      await node.poll();
      expect(serves(out)).toEqual(expectedOf(one));
    },
  );

  it.each([
    ["replaced by a copy", (path: string) => replaceByCopy(path)],
    [
      "replaced with its log",
      (path: string) => ["", "-wal", "-shm"].map((end) => replaceByCopy(`${path}${end}`)),
    ],
    ["removed", (path: string) => rmSync(path)],
    ["emptied", (path: string) => truncateSync(path)],
    ["overwritten", (path: string) => overwrite(path, 0, randomBytes(4096))],
    ["written to by a stranger", (path: string) => overwrite(path, 4096, readFileSync(path).subarray(4096))],
    ["changed in a shell", (path: string) => emptyTable(path)],
  ])("notices during a wait that a file is %s, and asks again at once", async (_, act) => {
    for (const name of ["logins.db", "addresses.db"]) {
      const server = await startServer(one);
      const node = nodeOf(server);
      await node.poll();
      const stop = new AbortController();
      const asked: unknown[] = [];
      server.serves = (request, response) => {
        asked.push(request.headers.prefer);
        if (asked.length === 1) return void response.writeHead(304).end();
        // The second one waits, without an end.
        if (asked.length === 2) return void act(join(node.config.out, name));
        if (asked.length > 3) stop.abort();
        if (request.headers["if-none-match"] === undefined) maps(one, response);
        else response.writeHead(304).end();
      };
      const { keyFile, out } = node.config;
      const argv = ["run", "--server", server.url.href, "--key-file", keyFile, "--out", out];
      expect(await main(argv, {}, { ...node.machine, clock: thisMachine.clock }, stop.signal)).toBe(0);
      expect(asked.length, name).toBeGreaterThan(3);
      expect(serves(out)).toEqual(expectedOf(one));
    }
  });

  it.each([
    ["opened again", false, 6],
    ["not opened again at first", true, 6],
    ["the others while it asks", false, 1],
    ["the addresses while it asks", false, 3],
  ])(
    "asks for everything where older files were written over the open ones and %s",
    async (_, fails, first) => {
      const server = await startServer(one);
      const node = nodeOf(server);
      const [sqlite, full] = [join(temporaryFolder(), "sqlite3"), join(temporaryFolder(), "full")];
      const script = `#!/bin/sh\nif rm '${full}' 2>/dev/null; then echo 'database or disk is full (13)' >&2; exit 1; fi
      exec sqlite3 "$@"\n`;
      writeFileSync(sqlite, script, { mode: 0o755 });
      node.machine.find = async (program) => (program === "sqlite3" ? sqlite : undefined);
      const { keyFile, out } = node.config;
      await node.poll();
      const names = ["logins.db", "addresses.db"].flatMap((name) =>
        ["", "-wal", "-shm"].map((end) => name + end),
      );
      const former = names.map((name) => [join(out, name), readFileSync(join(out, name))] as const);
      server.serves = two;
      await node.poll();
      const stop = new AbortController();
      const [positions, found]: [unknown[], unknown[]] = [[], []];
      const last = first < former.length ? 4 : 3;
      server.serves = (request, response) => {
        positions.push(request.headers["if-none-match"]);
        if (positions.length === 1) return void response.writeHead(304).end();
        if (positions.length === 2) {
          if (fails) writeFileSync(full, "");
          return former.slice(0, first).forEach(([path, content]) => void overwrite(path, 0, content));
        }
        if (positions.length === 3) {
          former.slice(first).forEach(([path, content]) => void overwrite(path, 0, content));
          if (first < former.length) return maps(two, response);
        }
        if (positions.length === last) {
          found.push(daemons.login(out, "jan@example.nl"), daemons.mailbox(out, "jan@example.nl"));
          return maps(two, response);
        }
        stop.abort();
        response.writeHead(304).end();
      };
      const argv = ["run", "--server", server.url.href, "--key-file", keyFile, "--out", out];
      const sleep: Clock["sleep"] = (time, until) => thisMachine.clock.sleep(Math.min(time, 500), until);
      const clock = { ...thisMachine.clock, sleep };
      expect(await main(argv, {}, { ...node.machine, clock }, stop.signal)).toBe(0);
      expect(existsSync(full)).toBe(false);
      const everything = Array.from({ length: last - 2 }, () => undefined);
      expect(positions.slice(1, last)).toEqual([expect.any(String), ...everything]);
      expect(found).toEqual(["fails", "fails"]);
      expect(serves(out)).toEqual(expectedOf(two));
    },
  );

  it("carries out at once what is accepted at the node during a wait", async () => {
    const people = Array.from({ length: 10 }, (_, index) => user(`u${index}@example.nl`));
    const server = await startServer(stateOf(1, ["example.nl"], people));
    const node = nodeOf(server);
    const { keyFile, out } = node.config;
    await node.poll();
    const left = stateOf(2, ["example.nl"], people.slice(8));
    server.serves = left;
    expect((await node.poll()).exitCode).toBe(65);
    const stop = new AbortController();
    let asked = 0;
    server.serves = (_, response) => {
      asked += 1;
      if (asked === 1) response.writeHead(304).end();
      else if (asked === 2) void main(["accept", "--out", out], {}, node.machine, stop.signal);
      else {
        stop.abort();
        response.writeHead(304).end();
      }
    };
    node.log.length = 0;
    const argv = ["run", "--server", server.url.href, "--key-file", keyFile, "--out", out];
    expect(await main(argv, {}, { ...node.machine, clock: thisMachine.clock }, stop.signal)).toBe(0);
    expect(serves(out)).toEqual(expectedOf(left));
    expect(node.log.join()).not.toContain("somebody");
  });
});

function replaceByCopy(path: string): void {
  if (!existsSync(path)) return;
  copyFileSync(path, `${path}.copy`);
  renameSync(`${path}.copy`, path);
}

/** As somebody does who has the SQL shell of sqlite3, while the program has the file open. */
function emptyTable(path: string): void {
  const database = new Database(path);
  database.exec(`DELETE FROM ${path.endsWith("logins.db") ? "mailbox" : "address"};`);
  database.close();
}

function overwrite(path: string, place: number, content: Uint8Array): void {
  const file = openSync(path, "r+");
  writeSync(file, content, 0, content.length, place);
  closeSync(file);
}

/** A clock that only moves when the program or the server lets time pass. */
function fakeClock(node: Node): { now: number; waits: number[] } {
  const clock = { now: 1_900_000_000_000, waits: [] as number[] };
  node.machine.random = () => 0.5;
  node.machine.clock = {
    now: () => clock.now,
    monotonic: () => clock.now,
    sleep: async (milliseconds) => {
      clock.waits.push(Math.round(milliseconds));
      clock.now += milliseconds;
    },
  };
  return clock;
}

describe("the resident program and a server that waits", () => {
  const run = async (node: Node, stop: AbortController): Promise<number> => {
    const { server, keyFile, out } = node.config;
    const argv = ["run", "--server", server.href, "--key-file", keyFile, "--out", out];
    return await main(argv, {}, node.machine, stop.signal);
  };

  /** An up-to-date node. */
  async function settled() {
    const server = await startServer(one);
    const node = nodeOf(server);
    await node.poll();
    return { server, node, clock: fakeClock(node), stop: new AbortController() };
  }

  it("asks at once for missing changes, then lets the server wait, and asks again after each answer", async () => {
    const server = await startServer(one);
    const node = nodeOf(server);
    const clock = fakeClock(node);
    const stop = new AbortController();
    const asked: (string | undefined)[] = [];
    const states: (MailState | undefined)[] = [one, undefined, two, undefined];
    server.serves = (request, response) => {
      const { prefer } = request.headers;
      asked.push(prefer as string | undefined);
      if (asked.length > 4) {
        stop.abort();
        return;
      }
      const state = states[asked.length - 1];
      if (prefer !== undefined) clock.now += state === undefined ? 55_000 : 20_000;
      if (state === undefined) response.writeHead(304).end();
      else maps(state, response);
    };
    expect(await run(node, stop)).toBe(0);
    expect(asked).toEqual([undefined, "wait=55", "wait=55", "wait=55", "wait=55"]);
    // After news it pauses a moment, after none not at all.
    expect(clock.waits.filter((wait) => wait < 1000)).toEqual([50, 0, 50, 0]);
    expect(serves(node.config.out)).toEqual(expectedOf(two));
  });

  it("a server or proxy that does not wait is asked each minute, and may still wait", async () => {
    const { server, node, clock, stop } = await settled();
    let asked = 0;
    server.serves = (request, response) => {
      asked += 1;
      if (asked > 1) expect(request.headers.prefer).toBe("wait=55");
      if (asked === 4) stop.abort();
      response.writeHead(304).end();
    };
    expect(await run(node, stop)).toBe(0);
    expect(clock.waits).toEqual([0, 2750, 60_000]);
  });

  it("it logs once why it asks each minute, and once that the server waits again", async () => {
    const { server, node, clock, stop } = await settled();
    node.log.length = 0;
    let asked = 0;
    server.serves = (_, response) => {
      asked += 1;
      // The server behind this proxy also has changes; then the proxy is gone.
      if (asked === 7) return maps(two, response);
      if (asked > 10) clock.now += 55_000;
      if (asked === 14) stop.abort();
      response.writeHead(304).end();
    };
    expect(await run(node, stop)).toBe(0);
    expect(clock.waits.filter((wait) => wait === 60_000)).toHaveLength(6);
    expect(node.log.filter((line) => line.includes("news"))).toEqual([
      "the server, or a proxy before it, answers without news at once instead of waiting for some: asking each minute",
      "the server waits for news again, for up to 55 s: a change arrives at once",
    ]);
  });

  it("a server that keeps sending the node's own state is asked again only after a pause", async () => {
    const { server, node, clock, stop } = await settled();
    let asked = 0;
    server.serves = (_, response) => {
      asked += 1;
      if (asked === 4) stop.abort();
      maps(one, response);
    };
    expect(await run(node, stop)).toBe(0);
    expect(clock.waits).toEqual([0, 2750, 60_000]);
  });

  it("after a fault it asks without a wait, to learn soon whether the fault is over", async () => {
    const { server, node, clock, stop } = await settled();
    const asked: unknown[] = [];
    server.serves = (request, response) => {
      asked.push(request.headers.prefer);
      if (asked.length === 5) stop.abort();
      response.writeHead(asked.length === 2 || asked.length === 3 ? 503 : 304).end();
    };
    expect(await run(node, stop)).toBe(0);
    expect(asked).toEqual([undefined, "wait=55", undefined, undefined, "wait=55"]);
    expect(clock.waits).toEqual([0, 2750, 5500, 0]);
  });

  it("withheld removals are not a fault: the server still waits, and the node is not late", async () => {
    const users = Array.from({ length: 10 }, (_, index) => user(`u${index}@example.nl`));
    const server = await startServer(stateOf(1, ["example.nl"], users));
    const node = nodeOf(server);
    await node.poll();
    server.serves = stateOf(2, ["example.nl"], []);
    const clock = fakeClock(node);
    const stop = new AbortController();
    let asked = 0;
    server.serves = (request, response) => {
      asked += 1;
      if (asked === 1) return maps(stateOf(2, ["example.nl"], []), response);
      expect(request.headers.prefer).toBe("wait=55");
      clock.now += 55_000;
      if (asked === 4) stop.abort();
      response.writeHead(304).end();
    };
    expect(await run(node, stop)).toBe(0);
    expect(clock.waits).toEqual([50, 0, 0]);
    expect(node.log.filter((line) => line.startsWith("withheld"))).toHaveLength(1);
    expect(server.reports).toHaveLength(2);
  });

  it("the time limits include the wait, and apply as usual once the answer begins", async () => {
    const server = await startServer(one);
    const node = nodeOf(server);
    await node.poll();
    server.serves = (_, response) => setTimeout(() => response.writeHead(304).end(), 300);
    expect((await node.poll({ limits: { idle: 50, total: 100 } })).exitCode).toBe(75);
    expect((await node.poll({ limits: { idle: 50, total: 100 }, wait: 1 })).exitCode).toBe(0);
    server.serves = (_, response) => {
      response.writeHead(200, { "Content-Type": "application/x-ndjson" });
      response.write("{");
    };
    const begun = performance.now();
    expect((await node.poll({ limits: { idle: 50 }, wait: 5 })).exitCode).toBe(75);
    expect(performance.now() - begun).toBeLessThan(5000);
  });

  it("one poll never waits", async () => {
    const server = await startServer(one);
    const node = nodeOf(server);
    await node.poll();
    await node.poll();
    for (const request of server.requests) expect(request.headers).not.toHaveProperty("prefer");
  });
});
