import { expect, test } from "vitest";
import { plainly, type Text, worded } from "../../../src/mail/text.ts";
import { operator, type Principal } from "../../../tools/call/principal.ts";
import { endpointsIn } from "../../support/outcome.ts";
import { PASSWORD, type TestStore, testStore } from "../../support/store.ts";

const NOON = Date.parse("2026-03-01T12:00:00Z");
const MINUTE = 60_000;
const jan = { email: "jan@example.nl" };

/** A store with a node that called this many minutes ago. */
async function withNode(called: number | undefined, limits: object = {}): Promise<TestStore> {
  const made = testStore({ now: () => new Date(NOON) });
  await made.must("add-domain", { domain: "example.nl" });
  await made.must("add-domain", { domain: "other.nl" });
  await made.must("add-node", { name: "pi" });
  if ("domains" in limits) await made.must("set-node", { name: "pi", ...limits });
  if (called === undefined) return made;
  const at = new Date(NOON - called * MINUTE).toISOString();
  await made.store.recordContacts({ nodes: new Map([[1, "192.0.2.7"]]), tokens: new Set(), at });
  return made;
}

const changes: ReadonlyArray<[endpoint: string, input: object]> = [
  ["add-domain", { domain: "new.nl" }],
  ["add-user", { ...jan, password: PASSWORD }],
  ["update-password", { ...jan, password: PASSWORD }],
  ["remove-user", jan],
  ["restore-user", jan],
  ["set-user", { ...jan, quota_mb: 5 }],
  ["rename-user", { ...jan, new_email: "piet@example.nl" }],
  ["remove-domain", { domain: "new.nl" }],
];

test.each([
  ["no node has joined", undefined],
  ["the only node has been silent for six minutes", 6],
  ["the only node called at a time in the future", -6],
])("while %s, each change says that it is not live", async (_what, called) => {
  const { must } = await withNode(called);
  for (const [endpoint, input] of changes) {
    const result = await must(endpoint, input);
    // Where no node has joined, none serves what was removed.
    if (called === undefined && endpoint.startsWith("remove")) {
      expect(result, endpoint).not.toHaveProperty("note");
    } else {
      expect(result, endpoint).toMatchObject({
        note: expect.arrayContaining([expect.stringMatching(/not live/)]),
      });
    }
  }
});

test("the note leads to what this caller can do: add the first node, join those that were added, or ask the operator", async () => {
  const everything = operator("cli");
  const writer: Principal = { ...everything, scopes: new Set(["write"]) };
  const tenant: Principal = { ...everything, domains: new Set(["example.nl"]) };
  const cases: ReadonlyArray<[made: TestStore, endpoint: string, says: RegExp]> = [
    [await withNode(0, { domains: ["other.nl"] }), "add-node", /there is no node/],
    [await withNode(undefined), "list-nodes", /has joined yet/],
    [await withNode(6), "list-nodes", /an old password/],
  ];
  for (const [{ run }, endpoint, says] of cases) {
    const noteFor = async (principal: Principal) => {
      const outcome = await run(
        "add-user",
        { email: `${principal.scopes.size}${principal.domains?.size}@example.nl`, password: PASSWORD },
        principal,
      );
      if (!outcome.ok) throw outcome.error;
      return outcome.value.note as Text;
    };
    const note = await noteFor(everything);
    expect(worded(note, plainly)).toMatch(says);
    expect(endpointsIn(note)).toEqual([endpoint]);
    for (const principal of [writer, tenant]) {
      const theirs = await noteFor(principal);
      expect(endpointsIn(theirs)).toEqual([]);
      expect(worded(theirs, plainly)).toMatch(/the operator/);
    }
  }
});

test("while a node calls, no change has such a note", async () => {
  const { must } = await withNode(4);
  for (const [endpoint, input] of changes) {
    expect(await must(endpoint, input), endpoint).not.toHaveProperty("note");
  }
});

test("a node without the domain makes none of its changes live", async () => {
  const { must } = await withNode(0, { domains: ["other.nl"] });
  expect(await must("add-user", { ...jan, password: PASSWORD })).toHaveProperty("note");
  const piet = { email: "piet@other.nl", password: PASSWORD };
  expect(await must("add-user", piet)).not.toHaveProperty("note");
});

test("where a node of the domain withholds removals, a removal says that the login ends and the address stays", async () => {
  for (const domains of ["all", ["example.nl"], ["other.nl"]]) {
    const { must, store } = await withNode(0, { domains });
    await must("add-user", { ...jan, password: PASSWORD });
    const report = { history: "f".repeat(32), revision: 1, digest: "0".repeat(64), version: "1" };
    const counts = { domains: 1, users: 12 };
    const withheld = {
      ...report,
      counts,
      status: "withheld",
      reason: "removals_withheld",
      count: 12,
    } as const;
    await store.write(({ nodes }) => nodes.recordReport(1, withheld, new Date(NOON).toISOString()));
    const { note } = await must("remove-user", jan);
    if (domains[0] === "other.nl") expect(note).toBeUndefined();
    else
      expect(worded(note as Text, plainly)).toMatch(
        /^Its password stops working .* still takes mail for the address/,
      );
  }
});

test("with a retention, a soft delete says when the mailbox is purged, counted from when it became inactive", async () => {
  const { must, runtime } = testStore({ now: () => new Date(clock) });
  let clock = NOON;
  await must("add-domain", { domain: "example.nl" });
  await must("add-user", { ...jan, password: PASSWORD });
  expect(await must("remove-user", jan)).not.toHaveProperty("purge_at");
  runtime.settings = { purgeInactiveAfter: 30 };
  clock += 60 * MINUTE;
  expect(await must("remove-user", jan)).toMatchObject({ purge_at: "2026-03-31T12:00:00.000Z" });
  expect(await must("remove-user", { ...jan, hard_delete: true })).not.toHaveProperty("purge_at");
});

test("a new node's next step names the server's public address, or sends to the operator for it", async () => {
  const { must, runtime } = testStore();
  runtime.settings = { nodePackageSum: () => "5".repeat(64) };
  const plain = async (name: string) => {
    const { next_step } = await must("add-node", { name });
    return worded(next_step as Text, plainly);
  };
  expect(await plain("one")).toMatch(/ask the operator.* --server URL$/);
  runtime.settings = { ...runtime.settings, publicUrl: "https://mail-admin.example.nl/m25" };
  expect(await plain("two")).toMatch(
    / -O m25-mail-node\.deb https:\/\/mail-admin\.example\.nl\/node\/.* --server https:\/\/mail-admin\.example\.nl$/,
  );
  const { next_step } = await must("rotate-key", { name: "one" });
  expect(worded(next_step as Text, plainly)).toMatch(
    /m25-mail-node join\. On a fresh Debian .* --server https:\/\/mail-admin\.example\.nl$/,
  );
});
