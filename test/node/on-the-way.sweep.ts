/** Faults of an answer between the real server and the real node's program. */
import type { IncomingMessage, ServerResponse } from "node:http";
import { gzipSync } from "node:zlib";
import { beforeEach, describe, expect, it } from "vitest";
import type { Limits } from "../../src/node/server/connection.ts";
import type { ReportReason } from "../../src/sync/report.ts";
import { passOn, type RealServer, realServer, startProxy } from "./real-server.ts";
import { picture, serves, usersIn } from "./support.ts";

type Meddling = (request: IncomingMessage, response: ServerResponse) => void;

let real: RealServer;

/** A node with two mailboxes, and a server that has since added one, changed one and removed one. */
beforeEach(async () => {
  real = await realServer(["jan@example.nl", "piet@example.nl", "gone@old.nl"]);
  const { node, must } = real;
  expect((await node.poll()).exitCode).toBe(0);
  await must("update-password", { email: "jan@example.nl", password: "another horse" });
  await must("add-user", { email: "els@example.nl", password: "correct horse" });
  await must("remove-user", { email: "gone@old.nl" });
  node.log.length = 0;
});

/** Changes the server's own answer, a delta or a snapshot. */
function altered(change: (lines: string[]) => string[], headers: Record<string, string> = {}): Meddling {
  return (request, response) =>
    passOn(real.proxy.target, request, response, (answer) => {
      const lines = change(answer.body.split("\n").slice(0, -1));
      response.writeHead(answer.status, { ...answer.headers, ...headers });
      response.end(lines.map((line) => `${line}\n`).join(""), "latin1");
    });
}

/** Changes the line of a new user. */
function alteredUser(change: (line: string) => string | string[]): Meddling {
  return altered((lines) =>
    lines.flatMap((line) => (line.startsWith('{"user":"els@') ? change(line) : [line])),
  );
}

function answering(
  status: number,
  headers: Record<string, string> = {},
  body: string | Buffer = "",
): Meddling {
  return (_, response) => response.writeHead(status, headers).end(body);
}

const html = "<!doctype html><title>Log in</title>";
const ndjson = { "Content-Type": "application/x-ndjson" };

/** The node reports a refused answer. It cannot report one that never came, or a refused key. */
const faults: [what: string, exit: number, reason: ReportReason | null, meddle: Meddling][] = [
  [
    "a Content-Length that is too long",
    65,
    "cut_short",
    (request, response) =>
      passOn(real.proxy.target, request, response, ({ status, headers, body }) => {
        response.writeHead(status, { ...headers, "content-length": String(body.length + 9) });
        response.write(body, "latin1", () => response.destroy());
      }),
  ],
  [
    "a Content-Length that is too short",
    65,
    "cut_short",
    (request, response) =>
      passOn(real.proxy.target, request, response, ({ status, headers, body }) => {
        const length = body.length - 9;
        response.writeHead(status, { ...headers, "content-length": String(length) });
        response.end(body.slice(0, length), "latin1");
      }),
  ],
  [
    "a chunked body that is aborted",
    65,
    "cut_short",
    (request, response) =>
      passOn(real.proxy.target, request, response, ({ status, headers, body }) => {
        response.writeHead(status, headers);
        response.write(body.slice(0, body.length / 2), "latin1", () => response.destroy());
      }),
  ],
  [
    "a gzip bomb",
    65,
    "too_large",
    answering(200, { ...ndjson, "Content-Encoding": "gzip" }, gzipSync(Buffer.alloc(1 << 26, "x"))),
  ],
  ["500", 75, null, answering(500)],
  ["502", 75, null, answering(502, {}, html)],
  ["503", 75, null, answering(503, { "Retry-After": "5" })],
  ["504", 75, null, answering(504, {}, html)],
  ["401 after all went well", 77, null, answering(401)],
  ["a page of HTML", 65, "not_maps", answering(200, { "Content-Type": "text/html" }, html)],
  ["a page of HTML that says it is maps", 65, "not_maps", answering(200, ndjson, html)],
  ["a redirect", 65, "not_maps", answering(302, { Location: "http://127.0.0.1:1/" })],
  ["another path's 404", 65, "not_maps", answering(404, {}, html)],
  ["a record twice", 65, "duplicate_record", alteredUser((line) => [line, line])],
  ["a colon in an address", 65, "damaged_record", alteredUser((line) => line.replace("els@", "els:x@"))],
  ["a line feed in an address", 65, "damaged_record", alteredUser((line) => line.replace("els@", "els\\n@"))],
  [
    "a real line feed in a record",
    65,
    "damaged_record",
    alteredUser((line) => line.replace("els@", "els\n@")),
  ],
  [
    "a hash of another shape",
    65,
    "damaged_record",
    alteredUser((line) => line.replace("{BLF-CRYPT}", "{PLAIN}")),
  ],
  [
    "a hash that differs by one character",
    65,
    "wrong_digest",
    alteredUser((line) => line.replace(/(.)","quota/, (_, last) => `${last === "a" ? "b" : "a"}","quota`)),
  ],
  ["a record that is missing", 65, "wrong_counts", alteredUser(() => [])],
];

describe("between server and node", () => {
  it.each(faults)(
    "%s: no file changes, the poll ends with %i, the server knows why (%s), and the next poll without it brings all",
    async (_, exit, reason, meddle) => {
      const { proxy, node } = real;
      const before = picture(real.node.config.out);
      proxy.meddle = meddle;
      expect((await node.poll()).exitCode).toBe(exit);
      expect(picture(real.node.config.out)).toEqual(before);
      await expectKnown(reason);
      await expectRepair();
    },
  );

  it("a delta or snapshot cut at any record is never taken for a whole one", async () => {
    const { proxy, node } = real;
    const before = picture(real.node.config.out);
    let most = 0;
    for (let kept = 0; kept <= most; kept += 1) {
      proxy.meddle = altered((lines) => {
        most = Math.max(most, lines.length - 1);
        return lines.slice(0, Math.min(kept, lines.length - 1));
      });
      expect((await node.poll()).exitCode, `${kept}`).toBe(65);
      expect(picture(real.node.config.out), `${kept}`).toEqual(before);
      await expectKnown(kept === 0 ? "not_maps" : "cut_short");
    }
    expect(most).toBeGreaterThan(5);
    await expectRepair();
  });

  it.each<[string, Partial<Limits>]>([
    ["the whole answer takes too long", { total: 300 }],
    ["nothing comes for too long", { idle: 100 }],
  ])("a byte now and then, until %s: the poll ends with 75 and no file changes", async (_, limits) => {
    const { proxy, node } = real;
    const before = picture(real.node.config.out);
    proxy.meddle = (request, response) =>
      passOn(proxy.target, request, response, ({ status, headers, body }) => {
        response.writeHead(status, headers);
        let sent = 0;
        const timer = setInterval(() => response.write(body[sent++] ?? "\n"), "idle" in limits ? 1000 : 20);
        response.once("close", () => clearInterval(timer));
      });
    const begun = performance.now();
    expect((await node.poll({ limits })).exitCode).toBe(75);
    expect(performance.now() - begun).toBeLessThan(30_000);
    expect(picture(real.node.config.out)).toEqual(before);
    await expectRepair();
  });

  it("another node's maps, from a cache that mixes up nodes, are refused", async () => {
    const { server, proxy, node, must } = real;
    const { sync_key } = await must("add-node", { name: "other" });
    await must("set-node", { name: "other", domains: ["example.nl"] });
    const before = picture(real.node.config.out);
    proxy.meddle = (request, response) => {
      request.headers.authorization = `Bearer ${sync_key}`;
      delete request.headers["if-none-match"];
      passOn(server.url, request, response);
    };
    expect((await node.poll()).exitCode).toBe(65);
    expect(picture(real.node.config.out)).toEqual(before);
    await expectKnown("another_node");
    await expectRepair();
  });

  it("a repeated older answer, snapshot or delta, does not roll the node back", async () => {
    const { proxy, node, must } = real;
    const recorded: { status: number; headers: Record<string, string>; body: string }[] = [];
    proxy.meddle = (request, response) =>
      passOn(proxy.target, request, response, (answer) => {
        recorded.push(answer);
        response.writeHead(answer.status, answer.headers).end(answer.body, "latin1");
      });
    // A second node with the same key folder gets a snapshot, this one a delta.
    const { out } = node.config;
    node.config.out = `${out}-fresh`;
    expect((await node.poll()).exitCode).toBe(0);
    node.config.out = out;
    expect((await node.poll()).exitCode).toBe(0);
    expect(recorded.map(({ body }) => JSON.parse(body.split("\n", 1)[0] ?? "").kind)).toEqual([
      "snapshot",
      "delta",
    ]);
    await must("add-user", { email: "mia@example.nl", password: "correct horse" });
    proxy.meddle = undefined;
    expect((await node.poll()).exitCode).toBe(0);
    await must("add-user", { email: "zoe@example.nl", password: "correct horse" });
    const before = picture(real.node.config.out);
    for (const { status, headers, body } of recorded) {
      proxy.meddle = (_, response) => response.writeHead(status, headers).end(body, "latin1");
      expect((await node.poll()).exitCode).toBe(65);
      expect(picture(real.node.config.out)).toEqual(before);
      await expectKnown("older_revision");
    }
    proxy.meddle = undefined;
    expect((await node.poll()).exitCode).toBe(0);
    expect(usersIn(out).map(({ user }) => user)).toEqual(
      ["els", "jan", "mia", "piet", "zoe"].map((name) => `${name}@example.nl`),
    );
  });

  it("a redirect is never followed, so that no other server sees the key", async () => {
    const { server, proxy, node } = real;
    const elsewhere = await startProxy(server.url);
    for (const status of [301, 302, 303, 307, 308]) {
      proxy.meddle = answering(status, { Location: elsewhere.url.href });
      expect((await node.poll()).exitCode).toBe(65);
    }
    expect(elsewhere.asked).toEqual([]);
  });
});

/** The last poll in the answer of `list-nodes`. */
async function expectKnown(reason: ReportReason | null): Promise<void> {
  await expect
    .poll(real.listed)
    .toMatchObject(reason === null ? { status: "behind", reason } : { status: "failing", reason });
}

/** After the fault one poll brings the files to the server's state, and reports it. */
async function expectRepair(): Promise<void> {
  const { proxy, node, listed } = real;
  const { out } = node.config;
  proxy.meddle = undefined;
  expect((await node.poll()).exitCode).toBe(0);
  const users = ["els@example.nl", "jan@example.nl", "piet@example.nl"];
  expect(usersIn(out).map(({ user }) => user)).toEqual(users);
  expect(serves(out).mailboxes).toEqual(users);
  expect(serves(out).domains).toEqual(["example.nl", "old.nl"]);
  await expect.poll(listed).toMatchObject({ status: "current", reason: null });
}
