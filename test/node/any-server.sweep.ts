/** Whatever a server does, and whenever sqlite3 is killed, the node serves one of that server's states. */
import type { ServerResponse } from "node:http";
import fc from "fast-check";
import { expect, onTestFinished, test, vi } from "vitest";
import { Sqlite } from "../../src/node/replica/sqlite.ts";
import type { UserRecord } from "../../src/sync/records.ts";
import type { MailState } from "../support/answer-reader.ts";
import { hash, stateOf, user } from "./answers.ts";
import {
  type Answer,
  answerProperly,
  bodyOf,
  expectedOf,
  maps,
  nodeOf,
  serves,
  startServer,
} from "./support.ts";

const first = stateOf(1, ["a.nl", "b.nl"], [user("x@a.nl"), user("y@b.nl")]);

/** The actions of a server, in any order. */
class Model {
  state: MailState = first;
  remembers: MailState[] = [];
  revision = 1;
  history = first.history;
  /** Sets the fault of the next answer. */
  fault: "lost" | "cut" | "older" | "repeated" | "failing" | null = null;
  earlier: MailState = first;
  last: { state: MailState; body: string } | undefined;
  /** The state of the last answer. */
  given: MailState = first;

  next(domains: readonly string[], users: readonly UserRecord[]): void {
    this.revision += 1;
    this.earlier = this.state;
    const known = users.filter((record) => domains.includes(record.user.split("@")[1] ?? ""));
    this.state = {
      ...stateOf(this.revision, domains, known, { history: this.history }),
      cursor: `${this.history}.${this.revision}`,
    };
  }

  /** A backup of the state before: another history. @param history never one that was left */
  restore(history: string): void {
    this.history = history;
    this.revision = 1;
    this.next([...this.earlier.domains.keys()], [...this.earlier.users.values()] as UserRecord[]);
    this.earlier = this.state;
    this.last = undefined;
  }

  answer: Answer = (request, response) => {
    const fault = this.fault;
    this.fault = null;
    if (fault === "lost") return void request.socket.destroy();
    if (fault === "failing") return void response.writeHead(503).end();
    this.given = this.state;
    if (fault === "older" && this.earlier.revision < this.state.revision) {
      this.given = this.earlier;
      return maps(this.earlier, response);
    }
    if (fault === "repeated" && this.last !== undefined) {
      this.given = this.last.state;
      return maps(this.last.state, response, this.last.body);
    }
    if (fault === "cut") {
      const body = bodyOf(this.state);
      return void response
        .writeHead(200, { "Content-Type": "application/x-ndjson" })
        .end(body.slice(0, body.length / 2));
    }
    const { state } = this;
    const end = response.end.bind(response);
    response.end = ((body?: string) => {
      if (typeof body === "string") this.last = { state, body };
      return end(body);
    }) as ServerResponse["end"];
    answerProperly({ serves: state, remembers: this.remembers }, request, response);
  };
}

const domains = ["a.nl", "b.nl", "c.nl"];
const people = domains.flatMap((domain) => ["x", "y", "z"].map((local) => `${local}@${domain}`));
const record = fc.record({
  user: fc.constantFrom(...people),
  password: fc.constantFrom("a", "b", "c").map(hash),
  quota_mb: fc.constantFrom(1, 1024),
  mailbox: fc.constantFrom("0".repeat(16), "1".repeat(16)),
});
const fault = fc.option(fc.constantFrom("lost", "cut", "older", "repeated", "failing"));
/** The number of the statement in a poll at which sqlite3 is killed. */
const killed = fc.option(fc.integer({ min: 1, max: 40 }));
const operation = fc.oneof(
  {
    weight: 5,
    arbitrary: fc.record({
      kind: fc.constant("change" as const),
      domains: fc.subarray(domains),
      users: fc.uniqueArray(record, { selector: (one) => one.user }),
      times: fc.integer({ min: 1, max: 3 }),
      fault,
      killed,
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({
      kind: fc.constantFrom("restore" as const, "forget" as const, "nothing" as const),
      fault,
      killed: fc.constant(null),
    }),
  },
);

/** Kills sqlite3 at its nth call from now on; 0 for never. */
function killing(): { at(calls: number): void } {
  const { run } = Sqlite.prototype;
  let left = 0;
  const spy = vi.spyOn(Sqlite.prototype, "run").mockImplementation(async function (
    this: Sqlite,
    statements,
    rows,
  ) {
    left -= 1;
    const running = run.call(this, statements, rows);
    if (left === 0 && !this.over) process.kill(this.pid ?? 0, "SIGKILL");
    return await running;
  });
  onTestFinished(() => spy.mockRestore());
  return {
    at: (calls) => {
      left = calls;
    },
  };
}

test("after each poll what is served is the server's state, or after a fault the one before", async () => {
  const kill = killing();
  let kills = 0;
  await fc.assert(
    fc.asyncProperty(fc.array(operation, { minLength: 1, maxLength: 12 }), async (operations) => {
      const model = new Model();
      const server = await startServer(model.answer);
      const node = nodeOf(server);
      node.config.thresholds = { percent: 100, users: 0 };
      expect((await node.poll()).exitCode).toBe(0);
      let has = model.state;
      for (const [index, step] of operations.entries()) {
        if (step.kind === "change")
          for (let time = 0; time < step.times; time += 1) model.next(step.domains, step.users.slice(time));
        else if (step.kind === "forget") model.remembers.length = 0;
        else if (step.kind === "restore") model.restore((index + 1).toString(16).repeat(32));
        model.fault = step.fault as Model["fault"];
        kill.at(step.killed ?? 0);
        const { exitCode } = await node.poll();
        kill.at(0);
        model.fault = null;
        if (step.killed === null) {
          if (step.fault === null) expect(exitCode).toBe(0);
        } else {
          if (exitCode === 75) kills += 1;
          // The killed poll may have done nothing, or everything: the next poll shows it.
          expect((await node.poll()).exitCode).toBe(0);
        }
        if (exitCode === 0 || step.killed !== null) has = model.given;
        expect(serves(node.config.out)).toEqual(expectedOf(has));
      }
      await node.poll();
      expect(serves(node.config.out)).toEqual(expectedOf(model.state));
      expect(server.reports.at(-1)).toMatchObject({ status: "applied", digest: model.state.digest });
      await server.close();
    }),
    { numRuns: 40 },
  );
  expect(kills).toBeGreaterThan(10);
});
