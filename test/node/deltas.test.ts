/** Deltas: their result, and the refused ones. */
import { brotliCompressSync } from "node:zlib";
import { beforeEach, describe, expect, it } from "vitest";
import type { RefusalReason } from "../../src/sync/reader.ts";
import { canonicalLine } from "../../src/sync/records.ts";
import { deltaOf, hash, stateOf, user } from "./answers.ts";
import {
  type Answer,
  bodyOf,
  expectedOf,
  type FakeServer,
  maps,
  type Node,
  nodeOf,
  picture,
  serves,
  startServer,
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

let server: FakeServer;
let node: Node;

beforeEach(async () => {
  server = await startServer(one);
  node = nodeOf(server);
  expect((await node.poll()).exitCode).toBe(0);
  server.reports.length = 0;
  server.requests.length = 0;
  node.log.length = 0;
});

const deltaLines = deltaOf(one, two);
const delta = bodyOf(deltaLines);

function send(body: string | Buffer, headers: Record<string, string> = {}): Answer {
  return (_, response) =>
    response.writeHead(200, { "Content-Type": "application/x-ndjson", ...headers }).end(body);
}

describe("a delta", () => {
  it("leads to exactly the same state as a snapshot", async () => {
    const other = nodeOf(await startServer(two));
    await other.poll();
    server.serves = two;
    expect((await node.poll()).exitCode).toBe(0);
    expect(server.requests.map(({ url }) => url)).toEqual(["/sync/v1/maps?since=cursor-1"]);
    expect(serves(node.config.out)).toEqual(serves(other.config.out));
    expect(server.reports).toMatchObject([{ status: "applied", revision: 2, digest: two.digest }]);
    await node.poll();
    expect(server.requests.at(-1)?.url).toBe("/sync/v1/maps?since=cursor-2");
  });

  it("may come compressed, in pieces of any size, or name records that the node never had", async () => {
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
    server.serves = send(brotliCompressSync(bodyOf(deltaOf(two, { ...one, revision: 3 }))), {
      "Content-Encoding": "br",
    });
    expect((await node.poll()).exitCode).toBe(0);
    expect(serves(node.config.out)).toEqual(expectedOf(one));
  });

  it("that changes only the revision leaves every mailbox as it is", async () => {
    const before = serves(node.config.out);
    server.serves = send(bodyOf(deltaOf(one, { ...one, revision: 5, cursor: "cursor-5" })));
    expect((await node.poll()).exitCode).toBe(0);
    expect(serves(node.config.out)).toEqual(before);
    expect(server.reports.at(-1)).toMatchObject({ revision: 5 });
  });
});

const changed = (at: number, change: (line: string) => string): string =>
  bodyOf(deltaLines.map((line, index) => (index === at ? change(line) : line)));
const inserted = (at: number, line: string): string =>
  bodyOf([...deltaLines.slice(0, at), line, ...deltaLines.slice(at)]);
const els = deltaLines.findIndex((line) => line.includes("els@new.nl"));
const withoutJan = (state: typeof one): typeof one => ({
  ...state,
  users: new Map([...state.users].filter(([name]) => name !== "jan@example.nl")),
});

const faults: [string, RefusalReason, string][] = [
  ...deltaLines
    .slice(1)
    .map((_, index): [string, RefusalReason, string] => [
      `cut before line ${index + 2}`,
      "cut_short",
      bodyOf(deltaLines.slice(0, index + 1)),
    ]),
  ["another node's changes", "wrong_counts", bodyOf(deltaOf(stateOf(1, ["example.nl"], []), two))],
  [
    "the changes of another base",
    "wrong_digest",
    bodyOf(deltaOf(withoutJan(one), withoutJan(two))).replace('"users":3', '"users":4'),
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

/** Answers a question for a delta with `body`, and a question for everything in another way. */
const both =
  (body: string, everything: Answer): Answer =>
  (request, response) =>
    (request.url?.includes("since=") ? send(body) : everything)(request, response);

describe("a refused delta", () => {
  it.each(faults)("%s: %s; if nothing else works, all stays as it was", async (_, reason, body) => {
    const before = picture(node.config.out);
    const unreachable: Answer = (_question, response) =>
      response.writeHead(503, { "Retry-After": "9" }).end();
    for (const everything of [send("<html>"), unreachable]) {
      server.reports.length = 0;
      server.serves = both(body, everything);
      expect((await node.poll()).exitCode).toBe(65);
      expect(picture(node.config.out)).toEqual(before);
      expect(server.reports).toMatchObject([{ status: "refused", reason, revision: 1, digest: one.digest }]);
    }
  });

  it("makes the node ask for everything at once, and apply it", async () => {
    const everything: Answer = (_, response) => maps(two, response);
    server.serves = both(
      changed(els, (line) => line.replace("els@", "e:s@")),
      everything,
    );
    expect((await node.poll()).exitCode).toBe(0);
    expect(server.requests).toHaveLength(2);
    expect(server.requests.at(-1)?.headers).not.toHaveProperty("if-none-match");
    expect(serves(node.config.out)).toEqual(expectedOf(two));
    expect(server.reports).toMatchObject([{ status: "applied", reason: null, revision: 2 }]);
    expect(node.log[0]).toContain("refused the changes that the server sent");
  });

  it("is refused by a node without a state, and so is a snapshot of an older revision", async () => {
    const fresh = nodeOf(server);
    server.serves = send(delta);
    expect((await fresh.poll()).exitCode).toBe(65);
    const before = picture(node.config.out);
    server.serves = send(bodyOf({ ...two, revision: 0 }));
    expect((await node.poll()).exitCode).toBe(65);
    expect(server.reports.at(-1)).toMatchObject({ status: "refused", reason: "older_revision", count: null });
    expect(picture(node.config.out)).toEqual(before);
  });

  it("is reported with the line of a damaged record", async () => {
    server.serves = send(changed(els, (line) => line.replace("els@", "e:s@")));
    await node.poll();
    expect(server.reports.at(-1)).toMatchObject({ reason: "damaged_record", count: els + 1 });
  });

  it("of another history makes the node take that history whole", async () => {
    server.serves = { ...two, history: "f".repeat(32), revision: 1 };
    expect((await node.poll()).exitCode).toBe(0);
    expect(serves(node.config.out)).toEqual(expectedOf(two));
    expect(server.reports.at(-1)).toMatchObject({ history: "f".repeat(32), revision: 1 });
  });
});
