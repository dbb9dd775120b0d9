import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, it } from "vitest";
import { main } from "../../src/node/cli.ts";
import { homeOf, stateOf, user } from "./answers.ts";
import { temporaryFolder } from "./folder.ts";
import { type Node, nodeOf, startServer } from "./support.ts";

const IDN = "xn--mnchen-3ya.example";
const ID = "0123456789abcdef";

async function polled(): Promise<Node> {
  const state = stateOf(
    1,
    ["example.nl", IDN],
    [user("jan@example.nl", { mailbox: ID }), user(`max@${IDN}`)],
  );
  const node = nodeOf(await startServer(state));
  expect((await node.poll()).exitCode).toBe(0);
  return node;
}

async function run(node: Node, ...argv: string[]): Promise<{ code: number; text: string }> {
  node.printed.length = 0;
  const code = await main(argv, {}, node.machine, new AbortController().signal);
  return { code, text: node.printed.join("") };
}

it("export prints the served state as text or as JSON, without a hash", async () => {
  const node = await polled();
  const { text } = await run(node, "export", "--json", "--out", node.config.out);
  const lines = text.trimEnd().split("\n");
  expect(lines.map((line) => JSON.parse(line))).toEqual([
    { kind: "domain", name: "example.nl", is: null, withheld: false },
    { kind: "domain", name: IDN, is: null, withheld: false },
    { kind: "domain", name: "münchen.example", is: IDN, withheld: false },
    {
      kind: "user",
      name: "jan@example.nl",
      quota_mb: 1024,
      home: `/var/vmail/01/${ID}`,
      login: true,
      withheld: false,
    },
    expect.objectContaining({ kind: "user", name: `max@${IDN}` }),
  ]);
  expect(await run(node, "export", "--out", node.config.out)).toEqual({
    code: 0,
    text: [
      "domain example.nl",
      `domain ${IDN}`,
      `domain münchen.example is ${IDN}`,
      `user jan@example.nl quota 1024 MiB home /var/vmail/01/${ID}`,
      `user max@${IDN} quota 1024 MiB home ${homeOf(`max@${IDN}`)}`,
      "",
    ].join("\n"),
  });
});

it.each(["mail", "mx"] as const)("export prints the aliases of a %s node", async (role) => {
  const [info, gone] = ["info@example.nl", "old@example.nl"];
  const isMx = role === "mx";
  const aliases = isMx
    ? [
        { alias: info, live: true },
        { alias: gone, live: false },
      ]
    : [
        { alias: info, targets: ["anna@elsewhere.example", "jan@example.nl"], send_as: false },
        { alias: gone, targets: [], send_as: false },
      ];
  const node = nodeOf(await startServer(stateOf(1, ["example.nl"], [], { role, aliases })));
  expect((await node.poll()).exitCode).toBe(0);
  const { text } = await run(node, "export", "--out", node.config.out);
  const targets = isMx ? "the mailbox nodes" : "anna@elsewhere.example,jan@example.nl";
  expect(text).toBe(`domain example.nl\nalias ${info} to ${targets}\nalias ${gone} without targets\n`);
  const { text: lines } = await run(node, "export", "--json", "--out", node.config.out);
  const line = { kind: "alias", withheld: false };
  const to = isMx ? [null, null] : [["anna@elsewhere.example", "jan@example.nl"], []];
  expect(
    lines
      .trimEnd()
      .split("\n")
      .slice(1)
      .map((one) => JSON.parse(one)),
  ).toEqual([
    { ...line, name: info, to: to[0], live: true },
    { ...line, name: gone, to: to[1], live: false },
  ]);
});

it("orphans lists the folders without a mailbox, and marks those of soft-deleted mailboxes", async () => {
  const node = await polled();
  const root = join(temporaryFolder(), "vmail");
  const kept = "fedcba9876543210";
  for (const home of [`01/${ID}`, `11/${"1".repeat(16)}`, `fe/${kept}`, "fe/lost+found", `22/${ID}`])
    mkdirSync(join(root, home), { recursive: true });
  const list = join(root, "..", "inactive");
  writeFileSync(list, `els@example.nl ${kept}\n`);
  const argv = ["orphans", "--out", node.config.out, "--mail-root", root, "--inactive", list];
  expect(await run(node, ...argv)).toEqual({
    code: 0,
    text: [
      `orphan ${root}/11/${"1".repeat(16)}`,
      `orphan ${root}/22/${ID}`,
      `soft-deleted ${root}/fe/${kept}`,
      `orphan ${root}/fe/lost+found`,
      "",
    ].join("\n"),
  });
});

it("accept and orphans answer programs in JSON", async () => {
  const people = Array.from({ length: 10 }, (_, index) => user(`u${index}@example.nl`));
  const server = await startServer(stateOf(1, ["example.nl"], people));
  const node = nodeOf(server);
  const { out } = node.config;
  expect((await node.poll()).exitCode).toBe(0);
  expect((await run(node, "accept", "--json", "--out", out)).text).toBe('{"accepted":0}\n');
  server.serves = stateOf(2, ["example.nl"], people.slice(8));
  expect((await node.poll()).exitCode).toBe(65);
  expect((await run(node, "accept", "--json", "--out", out)).text).toBe('{"accepted":8}\n');

  const root = join(temporaryFolder(), "vmail");
  mkdirSync(join(root, "fe/lost+found"), { recursive: true });
  expect((await run(node, "orphans", "--json", "--out", out, "--mail-root", root)).text).toBe(
    `{"kind":"orphan","folder":"${root}/fe/lost+found"}\n`,
  );
});

it("a first poll of many mailboxes says how far it is", async () => {
  const people = Array.from({ length: 10_001 }, (_, index) => user(`u${index}@example.nl`));
  const node = nodeOf(await startServer(stateOf(1, ["example.nl"], people)));
  expect((await node.poll()).exitCode).toBe(0);
  expect(node.log.filter((line) => /^received 1\d{4} records so far$/.test(line))).toHaveLength(1);
});

it("both commands refuse a folder without a state", async () => {
  const node = nodeOf({ url: new URL("http://127.0.0.1:1/") });
  mkdirSync(node.config.out);
  expect((await run(node, "export", "--out", node.config.out)).code).toBe(78);
  expect((await run(node, "orphans", "--out", node.config.out, "--mail-root", "/")).code).toBe(78);
});
