import { createServer as createTcpServer } from "node:net";
import { brotliCompressSync, constants, gzipSync } from "node:zlib";
import { beforeEach, describe, expect, it } from "vitest";
import { Client } from "../../src/node/server/client.ts";
import type { Limits } from "../../src/node/server/connection.ts";
import { encodeEnd, encodeHeader } from "../../src/sync/answer.ts";
import type { RefusalReason } from "../../src/sync/reader.ts";
import { canonicalLine } from "../../src/sync/records.ts";
import { hash, linesOf, stateOf, user } from "./answers.ts";
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

const one = stateOf(1, ["example.nl"], [user("jan@example.nl"), user("piet@example.nl")]);
const two = stateOf(
  2,
  ["example.nl"],
  [user("jan@example.nl", { password: hash("b") }), user("els@example.nl")],
);
const type = { "Content-Type": "application/x-ndjson" };

let server: FakeServer;
let node: Node;

beforeEach(async () => {
  server = await startServer(one);
  node = nodeOf(server);
  expect((await node.poll()).exitCode).toBe(0);
  server.reports.length = 0;
  node.log.length = 0;
});

async function pollAgainst(answer: Answer, limits: Partial<Limits> = {}): Promise<number> {
  const before = picture(node.config.out);
  server.serves = answer;
  // The report must not wait for an unread answer on the same connection.
  const { exitCode } = await node.poll({ limits: { connect: 1000, ...limits } });
  expect(picture(node.config.out)).toEqual(before);
  // The log tells why the delta was refused, and why the snapshot was.
  expect(node.log).toHaveLength(node.log.length > 1 ? 3 : 1);
  for (const line of node.log) expect(line).toMatch(/^[^\n]{10,200}$/);
  // After the fault, the next poll brings the news and reports success.
  server.serves = two;
  expect((await node.poll()).exitCode).toBe(0);
  expect(serves(node.config.out)).toEqual(expectedOf(two));
  expect(server.reports.at(-1)).toMatchObject({ status: "applied", reason: null, revision: 2 });
  return exitCode;
}

function text(body: string | Buffer, headers: Record<string, string> = {}): Answer {
  return (_, response) => response.writeHead(200, { ...type, ...headers }).end(body);
}

/** The same state with one record replaced; header and end stay. */
function withRecord(record: string): string {
  const lines = linesOf(two);
  lines[2] = record;
  return `${lines.join("\n")}\n`;
}

function withDigestOf(records: Parameters<typeof stateOf>[2], extra: string[]): string {
  const state = stateOf(2, ["example.nl"], records);
  const counts = { domains: 1, users: records.length, aliases: 0, domain_aliases: 0 };
  const header = encodeHeader({ ...state, kind: "snapshot", counts });
  return [header, canonicalLine({ domain: "example.nl" }), ...extra, encodeEnd(1 + records.length), ""].join(
    "\n",
  );
}

const jan = canonicalLine(user("jan@example.nl"));
const evil = (change: (line: string) => string): string => withRecord(change(jan));

const refusals: [string, RefusalReason, Answer][] = [
  ["nothing", "not_maps", text("")],
  [
    "maps that say they are HTML",
    "not_maps",
    (_, response) => response.writeHead(200, { "Content-Type": "text/html" }).end(bodyOf(two)),
  ],
  ["maps without a content type", "not_maps", (_, response) => response.writeHead(200).end(bodyOf(two))],
  ["an encoding that was not asked for", "not_maps", text(bodyOf(two), { "Content-Encoding": "zstd" })],
  ["another protocol", "wrong_protocol", text(bodyOf(two).replace("m25-mail-sync-2", "m25-mail-sync-9"))],
  ["everything, called changes", "wrong_counts", text(bodyOf(two).replace('"snapshot"', '"delta"'))],
  ["a kind that there is not", "wrong_protocol", text(bodyOf(two).replace('"snapshot"', '"sideways"'))],
  [
    "half of a gzip stream",
    "cut_short",
    text(gzipSync(bodyOf(two)).subarray(0, -30), { "Content-Encoding": "gzip" }),
  ],
  [
    "half of a Brotli stream",
    "cut_short",
    text(brotliCompressSync(bodyOf(two)).subarray(0, -30), { "Content-Encoding": "br" }),
  ],
  ["what is no gzip stream", "damaged_record", text(bodyOf(two), { "Content-Encoding": "gzip" })],
  ["what is no Brotli stream", "damaged_record", text(Buffer.alloc(500, 0xff), { "Content-Encoding": "br" })],
  ["a blank line", "damaged_record", text(bodyOf(two).replace("\n", "\n\n"))],
  ["lines that end as on Windows", "damaged_record", text(bodyOf(two).replaceAll("\n", "\r\n"))],
  ["a line feed in a hash", "damaged_record", text(evil((line) => line.replace(/a"/, '\\n"')))],
  ["a hash that would take a day", "damaged_record", text(evil((line) => line.replace("$10$", "$31$")))],
  ["a quota of nothing", "damaged_record", text(evil((line) => line.replace("1024", "0")))],
  [
    "a path in a mailbox id",
    "damaged_record",
    text(evil((line) => line.replace(/(?<="mailbox":")[0-9a-f]{16}/, "../../../../../x/"))),
  ],
  ["a field too many", "damaged_record", text(evil((line) => line.replace("}", ',"uid":0}')))],
  [
    "bytes that are no UTF-8",
    "damaged_record",
    text(Buffer.concat([Buffer.from(`${linesOf(two)[0]}\n`), Buffer.from([0xc3, 0x28, 10])])),
  ],
  [
    "a user of a domain that is not there",
    "foreign_user",
    text(withDigestOf([user("jan@other.nl")], [canonicalLine(user("jan@other.nl"))])),
  ],
  [
    "a record more than it says",
    "wrong_counts",
    text(withDigestOf([user("jan@example.nl")], [jan, canonicalLine(user("x@example.nl"))])),
  ],
  ["something after its end", "wrong_counts", text(`${bodyOf(two)}${jan}\n`)],
  ["a digest of something else", "wrong_digest", text(bodyOf(two).replace(two.digest, one.digest))],
];

// on-the-way.sweep.ts tests what a proxy may do to the real server's answers.
describe("an answer that is refused", () => {
  it.each(refusals)(
    "%s: %s; every file stays as it was, the exit code is 65, and the server is told",
    async (_, reason, answer) => {
      const reported = server.reports;
      expect(await pollAgainst(answer)).toBe(65);
      expect(reported[0]).toMatchObject({
        status: "refused",
        reason,
        revision: 1,
        digest: one.digest,
        counts: { users: 2 },
      });
    },
  );

  it("cut at any byte is never taken for a whole answer", async () => {
    const body = bodyOf(two);
    const before = picture(node.config.out);
    // Without its last line feed the answer is still whole.
    for (let length = 0; length < body.length - 1; length += 7) {
      server.serves = text(body.slice(0, length));
      expect((await node.poll()).exitCode).toBe(65);
    }
    expect(picture(node.config.out)).toEqual(before);
    expect(new Set(server.reports.map((report) => report.reason))).toEqual(
      new Set(["not_maps", "cut_short"]),
    );
  });

  it("larger than the limit is too_large, with or without a Content-Length", async () => {
    const many = stateOf(
      2,
      ["example.nl"],
      Array.from({ length: 200 }, (_, index) => user(`u${index}@example.nl`)),
    );
    for (const [body, headers] of [
      [brotliCompressSync(bodyOf(many)), { "Content-Encoding": "br" }],
      [bodyOf(many), { "Content-Length": String(bodyOf(many).length) }],
    ] as const) {
      server.serves = text(body, headers);
      expect((await node.poll({ limits: { bytes: 10_000 } })).exitCode).toBe(65);
      expect(server.reports.at(-1)).toMatchObject({ reason: "too_large" });
    }
    // A Content-Length over the limit is refused at once.
    server.serves = (_, response) =>
      response.writeHead(200, { ...type, "Content-Length": 20_000 }).flushHeaders();
    expect((await node.poll({ limits: { bytes: 10_000, idle: 5_000 } })).exitCode).toBe(65);
    expect(server.reports.at(-1)).toMatchObject({ reason: "too_large" });
    server.serves = many;
    expect((await node.poll({ limits: { bytes: 100_000 } })).exitCode).toBe(0);
  });

  it("that unpacks to far more than maps do is too_large before it fills the memory", async () => {
    const long = Array.from({ length: 3 }, () => "x".repeat(59)).join(".");
    const many = stateOf(
      2,
      Array.from({ length: 20_000 }, (_, index) => `${index}.${long}.example`),
      [],
    );
    const body = brotliCompressSync(bodyOf(many), { params: { [constants.BROTLI_PARAM_QUALITY]: 9 } });
    expect(bodyOf(many).length / body.length).toBeGreaterThan(100);
    server.serves = text(body, { "Content-Encoding": "br" });
    expect((await node.poll()).exitCode).toBe(65);
    expect(server.reports.at(-1)?.reason).toBe("too_large");
    server.serves = many;
    expect((await node.poll()).exitCode).toBe(0);
  });

  it("to a node without a state is reported, with nothing in service", async () => {
    const fresh = nodeOf(server);
    server.serves = text("x");
    expect((await fresh.poll()).exitCode).toBe(65);
    expect(server.reports.at(-1)).toMatchObject({
      status: "refused",
      revision: 0,
      history: "",
      digest: "0".repeat(64),
    });
    expect(Object.keys(picture(fresh.config.out))).toEqual(["addresses.db"]);
  });
});

describe("an answer without maps", () => {
  it.each([
    [403, 77],
    [400, 65],
    [204, 65],
    [206, 65],
    [408, 75],
    [429, 75],
  ])("status %i ends with %i, and the files stay", async (status, exitCode) => {
    expect(await pollAgainst((_, response) => response.writeHead(status).end())).toBe(exitCode);
  });

  it("a 304 is refused by a node without a state", async () => {
    const fresh = nodeOf(server);
    server.serves = (_, response) => response.writeHead(304).end();
    expect((await fresh.poll()).exitCode).toBe(65);
  });

  it("Retry-After is kept, in seconds or as a date", async () => {
    server.serves = (_, response) => response.writeHead(429, { "Retry-After": "7" }).end();
    expect((await node.poll()).retryAfter).toBe(7000);
    const date = new Date(Date.now() + 90_000).toUTCString();
    server.serves = (_, response) => response.writeHead(503, { "Retry-After": date }).end();
    expect((await node.poll()).retryAfter).toBeGreaterThan(80_000);
    server.serves = (_, response) => response.writeHead(503, { "Retry-After": "soon" }).end();
    expect((await node.poll()).retryAfter).toBeUndefined();
  });
});

describe("a server that is away", () => {
  it("is a temporary failure, and the files stay", async () => {
    const before = picture(node.config.out);
    await server.close();
    expect(await node.poll()).toMatchObject({ exitCode: 75, reported: false });
    expect(picture(node.config.out)).toEqual(before);
  });

  it("does not answer, or stops in the middle of an answer: the program does not wait for ever", async () => {
    expect(await pollAgainst(() => undefined, { idle: 50 })).toBe(75);
    node.log.length = 0;
    server.serves = one;
    const stalled: Answer = (_, response) => {
      response.writeHead(200, type);
      response.write(`${linesOf(two)[0]}\n`);
    };
    server.serves = stalled;
    expect((await node.poll({ limits: { idle: 50 } })).exitCode).toBe(75);
  });

  it("accepts no connection in time", async () => {
    const mute = createTcpServer();
    await new Promise<void>((resolve) => mute.listen(0, "127.0.0.1", resolve));
    const { port } = mute.address() as { port: number };
    node.config.server = new URL(`https://127.0.0.1:${port}/`);
    // The TCP connection opens, but the TLS handshake never ends.
    expect((await node.poll({ limits: { connect: 100 } })).exitCode).toBe(75);
    expect(node.log[0]).toContain("no connection within 100 ms");
    mute.close();
  });

  it("does not speak HTTP", async () => {
    const other = createTcpServer((socket) => socket.end("220 mx.example.nl ESMTP\r\n"));
    await new Promise<void>((resolve) => other.listen(0, "127.0.0.1", resolve));
    node.config.server = new URL(`http://127.0.0.1:${(other.address() as { port: number }).port}/`);
    expect((await node.poll()).exitCode).toBe(65);
    other.close();
  });
});

describe("what a proper server may do", () => {
  it.each([
    ["br", brotliCompressSync],
    ["gzip", gzipSync],
  ] as const)("compress with %s", async (encoding, compress) => {
    server.serves = text(compress(bodyOf(two)), { "Content-Encoding": encoding });
    expect((await node.poll()).exitCode).toBe(0);
    expect(serves(node.config.out)).toEqual(expectedOf(two));
  });

  it("send a body in pieces of any size", async () => {
    server.serves = (_, response) => {
      response.writeHead(200, type);
      for (const character of bodyOf(two)) response.write(character);
      response.end();
    };
    expect((await node.poll()).exitCode).toBe(0);
    expect(serves(node.config.out)).toEqual(expectedOf(two));
  });

  it("name a charset, and leave out the last line feed", async () => {
    server.serves = text(bodyOf(two).trimEnd(), { "Content-Type": "Application/X-NDJSON; charset=utf-8" });
    expect((await node.poll()).exitCode).toBe(0);
  });

  it("answer 200 with the same state: nothing changes, and the node reports", async () => {
    const before = picture(node.config.out);
    server.serves = (_, response) => maps(one, response);
    expect((await node.poll()).exitCode).toBe(0);
    expect(picture(node.config.out)).toEqual(before);
  });

  it("live below a path", async () => {
    node.config.server = new URL("prefix/", server.url);
    server.serves = (request, response) => {
      if (request.url?.startsWith("/prefix/sync/v1/maps?since=")) maps(two, response);
      else response.writeHead(404).end();
    };
    expect((await node.poll()).exitCode).toBe(0);
    expect(serves(node.config.out)).toEqual(expectedOf(two));
  });

  it("close a kept connection just as it is used", async () => {
    const client = new Client({ server: server.url, version: "test" });
    await node.poll({ client });
    const connections = server.connections;
    await node.poll({ client });
    expect(server.connections).toBe(connections);
    let hangUps = 1;
    server.serves = (request, response) => {
      if (hangUps-- > 0) return void request.socket.resetAndDestroy();
      maps(two, response);
    };
    expect((await node.poll({ client })).exitCode).toBe(0);
    client.close();
  });
});
