import type { ServerResponse } from "node:http";
import { brotliCompressSync } from "node:zlib";
import fc from "fast-check";
import { beforeEach, describe, expect, it } from "vitest";
import type { MailState } from "../../src/sync/answer.ts";
import type { RefusalReason } from "../../src/sync/reader.ts";
import { canonicalLine, type UserRecord } from "../../src/sync/records.ts";
import { breaking } from "./breaking.ts";
import {
  type Answer,
  answerProperly,
  bodyOf,
  deltaOf,
  expectedOf,
  type FakeServer,
  hash,
  maps,
  type Node,
  nodeOf,
  picture,
  served,
  serves,
  startingNothing,
  startServer,
  stateOf,
  user,
} from "./support.ts";

const one = stateOf(
  1,
  ["example.nl", "old.nl"],
  [user("jan@example.nl"), user("last@old.nl"), user("piet@example.nl"), user("same@example.nl")],
);
const two = stateOf(
  2,
  ["example.nl", "new.nl"],
  [
    user("els@new.nl"),
    user("jan@example.nl", { password: hash("b") }),
    user("piet@example.nl", { quota_mb: 7 }),
    user("same@example.nl"),
  ],
);
const quickNode = (server: { url: URL }): Node => nodeOf(server, startingNothing);

let server: FakeServer;
let node: Node;

beforeEach(async () => {
  server = await startServer(one);
  node = quickNode(server);
  expect((await node.poll()).exitCode).toBe(0);
  server.reports.length = 0;
  server.requests.length = 0;
  node.log.length = 0;
});

const delta = deltaOf(one, two);
const deltaLines = delta.trimEnd().split("\n");

function send(body: string | Buffer, headers: Record<string, string> = {}): Answer {
  return (_, response) =>
    response.writeHead(200, { "Content-Type": "application/x-ndjson", ...headers }).end(body);
}

/** Everything but state.json, where the time of the last report stands. */
function files(): Record<string, string> {
  const { "state.json": _, ...others } = picture(node.config.out);
  return others;
}

describe("changes in the place of everything", () => {
  it("lead to exactly the files that everything leads to", async () => {
    const other = quickNode(await startServer(two));
    await other.poll();
    server.serves = two;
    expect((await node.poll()).exitCode).toBe(0);
    expect(server.requests.map(({ url }) => url)).toEqual(["/sync/v1/maps?since=cursor-1"]);
    const contents = (out: string): Record<string, unknown> =>
      Object.fromEntries(Object.entries(served(out)).map(([name, look]) => [name, JSON.parse(look).content]));
    expect(contents(node.config.out)).toEqual(contents(other.config.out));
    expect(server.reports).toMatchObject([{ status: "applied", revision: 2, digest: two.digest }]);
    await node.poll();
    expect(server.requests.at(-1)?.url).toBe("/sync/v1/maps?since=cursor-2");
  });

  it("may come compressed, in the oddest pieces, or name what the node never had", async () => {
    const body = delta.replace(
      /\{"end":(\d+)\}/,
      (_, end) => `{"user":"nobody@old.nl","removed":true}\n{"end":${Number(end) + 1}}`,
    );
    server.serves = (_, response) => {
      response.writeHead(200, { "Content-Type": "application/x-ndjson" });
      for (const character of body) response.write(character);
      response.end();
    };
    expect((await node.poll()).exitCode).toBe(0);
    expect(serves(node.config.out)).toEqual(expectedOf(two));
    server.serves = send(brotliCompressSync(deltaOf(two, { ...one, revision: 3 })), {
      "Content-Encoding": "br",
    });
    expect((await node.poll()).exitCode).toBe(0);
    expect(serves(node.config.out)).toEqual(expectedOf(one));
  });

  it("that change nothing but the number leave the daemons' files alone", async () => {
    const before = served(node.config.out);
    server.serves = send(deltaOf(one, { ...one, revision: 5, cursor: "cursor-5" }));
    expect((await node.poll()).exitCode).toBe(0);
    expect(served(node.config.out)).toEqual(before);
    expect(server.reports.at(-1)).toMatchObject({ revision: 5 });
  });

  it("304 reads no state: neither the snapshot nor anything of it", async () => {
    const read: string[] = [];
    const { files: disk } = node.host;
    node.host.files = {
      ...disk,
      readPieces: (path) => {
        read.push(path);
        return disk.readPieces(path);
      },
    };
    expect((await node.poll()).exitCode).toBe(0);
    expect(read).toEqual([]);
  });
});

const changed = (at: number, change: (line: string) => string): string =>
  `${deltaLines.map((line, index) => (index === at ? change(line) : line)).join("\n")}\n`;
const inserted = (at: number, line: string): string =>
  `${[...deltaLines.slice(0, at), line, ...deltaLines.slice(at)].join("\n")}\n`;
const els = deltaLines.findIndex((line) => line.includes("els@new.nl"));

const faults: [string, RefusalReason, string][] = [
  ...deltaLines
    .slice(1)
    .map((_, index): [string, RefusalReason, string] => [
      `cut before line ${index + 2}`,
      "cut_short",
      `${deltaLines.slice(0, index + 1).join("\n")}\n`,
    ]),
  ["another node's changes", "wrong_counts", deltaOf(stateOf(1, ["example.nl"], []), two)],
  [
    "the changes of another base",
    "wrong_digest",
    deltaOf(
      { ...one, users: new Map([...one.users].filter(([name]) => name !== "jan@example.nl")) },
      { ...two, users: new Map([...two.users].filter(([name]) => name !== "jan@example.nl")) },
    ).replace('"users":3', '"users":4'),
  ],
  ["another history", "wrong_protocol", changed(0, (line) => line.replace(one.history, "f".repeat(32)))],
  ["another role", "wrong_protocol", changed(0, (line) => line.replace('"role":"mail"', '"role":"mx"'))],
  [
    "older than what the node has",
    "older_revision",
    changed(0, (line) => line.replace('"revision":2', '"revision":0')),
  ],
  ["a record twice", "duplicate_record", inserted(els, deltaLines[els] ?? "")],
  ["set and removed", "duplicate_record", inserted(els + 1, '{"user":"els@new.nl","removed":true}')],
  ["a colon in an address", "damaged_record", changed(els, (line) => line.replace("els@", "e:s@"))],
  ["a line feed in an address", "damaged_record", changed(els, (line) => line.replace("els@", "e\\ns@"))],
  [
    "a hash of another shape",
    "damaged_record",
    changed(els, (line) => line.replace("{BLF-CRYPT}", "{PLAIN}")),
  ],
  ["a removal that is none", "damaged_record", inserted(els, '{"user":"x@new.nl","removed":false}')],
  [
    "a user of a domain that is not there",
    "foreign_user",
    changed(els, (line) => line.replace("@new.nl", "@not.nl")),
  ],
  ["a line after the end", "wrong_counts", `${delta}${canonicalLine(user("x@new.nl"))}\n`],
  ["another digest", "wrong_digest", delta.replace(two.digest, one.digest)],
];

describe("changes that are refused", () => {
  it.each(faults)("%s: everything is asked for at once, and applied", async (_, reason, body) => {
    let asked = 0;
    server.serves = (request, response) => {
      asked += 1;
      if (request.url?.includes("since=")) send(body)(request, response);
      else maps(two, response);
    };
    expect((await node.poll()).exitCode).toBe(0);
    expect(asked).toBe(2);
    expect(server.requests.at(-1)?.headers).not.toHaveProperty("if-none-match");
    expect(serves(node.config.out)).toEqual(expectedOf(two));
    expect(server.reports).toMatchObject([{ status: "applied", reason: null, revision: 2 }]);
    expect(node.log[0]).toContain("the changes that the server sent are refused");
    expect(reason).toBeTruthy();
  });

  it.each(faults)("%s: %s; nothing else works, and every file stays as it was", async (_, reason, body) => {
    for (const otherwise of [
      send("<html>"),
      ((_q, response) => response.writeHead(503, { "Retry-After": "9" }).end()) as Answer,
    ]) {
      const before = files();
      server.reports.length = 0;
      server.serves = (request, response) =>
        (request.url?.includes("since=") ? send(body) : otherwise)(request, response);
      expect((await node.poll()).exitCode).toBe(65);
      expect(files()).toEqual(before);
      expect(server.reports).toMatchObject([{ status: "refused", reason, revision: 1, digest: one.digest }]);
    }
  });

  it("changes to a node that has nothing are refused, and so is everything of an older revision", async () => {
    const fresh = quickNode(server);
    server.serves = send(delta);
    expect((await fresh.poll()).exitCode).toBe(65);
    const before = files();
    server.serves = send(bodyOf({ ...two, revision: 0 }));
    expect((await node.poll()).exitCode).toBe(65);
    expect(server.reports.at(-1)).toMatchObject({ status: "refused", reason: "older_revision", count: null });
    expect(files()).toEqual(before);
  });

  it("the line of a damaged record is told", async () => {
    server.serves = send(changed(els, (line) => line.replace("els@", "e:s@")));
    await node.poll();
    expect(server.reports.at(-1)).toMatchObject({ reason: "damaged_record", count: els + 1 });
  });

  it("another history is taken whole", async () => {
    server.serves = { ...two, history: "f".repeat(32), revision: 1 };
    expect((await node.poll()).exitCode).toBe(0);
    expect(serves(node.config.out)).toEqual(expectedOf(two));
    expect(server.reports.at(-1)).toMatchObject({ history: "f".repeat(32), revision: 1 });
  });
});

/** What a server may do to its node, in any order. */
class Model {
  state: MailState = one;
  remembers: MailState[] = [];
  revision = 1;
  history = one.history;
  /** Says how the next answers go wrong. */
  faults: ("lost" | "cut" | "older" | "repeated" | "failing")[] = [];
  earlier: MailState = one;
  last: { state: MailState; body: string } | undefined;
  /** What the last answer was about. */
  given: MailState = one;

  next(domains: readonly string[], users: readonly UserRecord[]): void {
    this.revision += 1;
    this.earlier = this.state;
    const known = users.filter((record) => domains.includes(record.user.split("@")[1] ?? ""));
    this.state = {
      ...stateOf(this.revision, domains, known, { history: this.history }),
      cursor: `${this.history}.${this.revision}`,
    };
  }

  answer: Answer = (request, response) => {
    const fault = this.faults.shift();
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
const fault = fc.constantFrom("lost", "cut", "older", "repeated", "failing");
const operation = fc.oneof(
  {
    weight: 5,
    arbitrary: fc.record({
      kind: fc.constant("change"),
      domains: fc.subarray(domains),
      users: fc.uniqueArray(record, { selector: (one) => one.user }),
      times: fc.integer({ min: 1, max: 3 }),
      fault: fc.option(fault),
      trouble: fc.option(fc.constantFrom("kill", "spoil")),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({
      kind: fc.constantFrom("restore", "forget", "nothing"),
      fault: fc.option(fault),
      trouble: fc.constant(null),
    }),
  },
);

describe("whatever a server does", () => {
  it("after each poll the node's files are its state, or after a fault the one before", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(operation, { minLength: 1, maxLength: 12 }),
        fc.nat(),
        async (operations, seed) => {
          const model = new Model();
          server.serves = model.answer;
          const subject = quickNode(server);
          subject.config.thresholds = { percent: 100, users: 0 };
          expect((await subject.poll()).exitCode).toBe(0);
          let has = model.state;
          for (const [index, step] of operations.entries()) {
            let host = subject.host;
            if ("users" in step) {
              for (let time = 0; time < step.times; time += 1)
                model.next(step.domains, step.users.slice(time));
            } else if (step.kind === "forget") model.remembers.length = 0;
            else if (step.kind === "restore") {
              model.history = (index + 1).toString(16).repeat(32); // never one that was left
              model.revision = 1;
              model.next([...model.earlier.domains.keys()], [
                ...model.earlier.users.values(),
              ] as UserRecord[]);
              model.earlier = model.state;
              model.last = undefined;
            }
            if (step.fault !== null) model.faults.push(step.fault);
            if (step.trouble !== null) {
              const kind =
                step.trouble === "kill" ? ({ kill: "after" } as const) : ({ code: "EIO" } as const);
              host = breaking(host, { step: 1 + ((seed + index) % 60), kind }).host;
            }
            const { exitCode } = await subject.poll({ host });
            if (step.fault === null && step.trouble === null) expect(exitCode).toBe(0);
            model.faults.length = 0;
            if (step.trouble !== null) {
              // A killed run may have done nothing at all, or everything: the next one knows.
              expect((await subject.poll()).exitCode).toBe(0);
              has = model.given;
            } else if (exitCode === 0) has = model.given;
            expect(serves(subject.config.out)).toEqual(expectedOf(has));
          }
          await subject.poll();
          expect(serves(subject.config.out)).toEqual(expectedOf(model.state));
          expect(server.reports.at(-1)).toMatchObject({ status: "applied", digest: model.state.digest });
        },
      ),
      { numRuns: 30 },
    );
  });
});
