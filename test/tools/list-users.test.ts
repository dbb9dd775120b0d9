import fc from "fast-check";
import { expect, test } from "vitest";
import { expectRefusal } from "../support/outcome.ts";
import { PASSWORD, type TestStore, testStore, toolOf } from "../support/store.ts";

interface Page {
  users: Array<{ email: string }>;
  next_cursor: string | null;
}

async function pages(must: TestStore["must"], input: object, between = async () => {}): Promise<string[]> {
  const seen: string[] = [];
  for (let cursor: string | null | undefined; cursor !== null; ) {
    const page = (await must("list-users", { ...input, ...(cursor && { cursor }) })) as unknown as Page;
    seen.push(...page.users.map(({ email }) => email));
    cursor = page.next_cursor;
    if (seen.length > 500) throw new Error("the pages go round in a circle");
    await between();
  }
  return seen;
}

async function withUsers(emails: readonly string[]): Promise<TestStore> {
  const made = testStore();
  for (const domain of new Set(emails.map((email) => email.split("@")[1]))) {
    await made.must("add-domain", { domain });
  }
  for (const email of emails) await made.must("add-user", { email, password: PASSWORD });
  return made;
}

test("mailboxes are listed with all their fields, and never with a hash", async () => {
  const now = new Date("2026-03-01T12:00:00Z");
  const { must } = testStore({ now: () => now });
  await must("add-domain", { domain: "example.nl" });
  await must("add-user", { email: "jan@example.nl", password: PASSWORD, quota_mb: 5 });
  now.setUTCHours(13);
  await must("remove-user", { email: "jan@example.nl" });
  const listed = await must("list-users");
  expect(listed).toEqual({
    users: [
      {
        email: "jan@example.nl",
        quota_mb: 5,
        active: false,
        login: "off",
        created_at: "2026-03-01T12:00:00.000Z",
        updated_at: "2026-03-01T13:00:00.000Z",
      },
    ],
    total: 1,
    next_cursor: null,
  });
  toolOf("list-users").output.strict().parse(listed);
  expect(JSON.stringify(listed)).not.toMatch(/BLF|\$2/);
});

test("a list of one domain has only its mailboxes and its total", async () => {
  const { must } = await withUsers(["jan@a.nl", "piet@a.nl", "jan@b.nl"]);
  expect(await must("list-users", { domain: "A.nl" })).toMatchObject({
    users: [{ email: "jan@a.nl" }, { email: "piet@a.nl" }],
    total: 2,
  });
  expect(await must("list-users")).toMatchObject({ total: 3 });
});

test("a domain that is not registered is an error, not an empty list", async () => {
  const { run } = testStore();
  expectRefusal(await run("list-users", { domain: "example.nl" }), "domain_not_found", ["list-domains"]);
});

test("with any page size the pages list every mailbox once, by domain and then by name", async () => {
  const emails = ["b.nl", "a.nl", "a-a.nl", "c.nl"].flatMap((domain) =>
    ["x", "a", "a.b", "a-b", "a_b", "0", "ab"].map((name) => `${name}@${domain}`),
  );
  const { must } = await withUsers(emails);
  const order = (email: string) => email.split("@").reverse().join("\0");
  const sorted = [...emails].sort((one, other) => (order(one) < order(other) ? -1 : 1));
  await fc.assert(
    fc.asyncProperty(fc.integer({ min: 1, max: 30 }), async (limit) => {
      expect(await pages(must, { limit })).toEqual(sorted);
      expect(await pages(must, { limit, domain: "a.nl" })).toEqual(
        sorted.filter((email) => email.endsWith("@a.nl")),
      );
    }),
    { numRuns: 12 },
  );
});

test("a reader of pages sees each lasting mailbox exactly once while others are added and removed", async () => {
  const stay = Array.from({ length: 20 }, (_, index) => `stay${String(index).padStart(2, "0")}@a.nl`);
  const go = Array.from({ length: 10 }, (_, index) => `go${index}@a.nl`);
  const { must } = await withUsers([...stay, ...go]);
  let step = 0;
  const seen = await pages(must, { limit: 4 }, async () => {
    await must("remove-user", { email: go[step % go.length], hard_delete: step < go.length }).catch(() => {});
    await must("add-user", { email: `new${step}@a.nl`, password: PASSWORD });
    step += 1;
  });
  expect(seen.filter((email) => email.startsWith("stay"))).toEqual(stay);
  expect(new Set(seen).size).toBe(seen.length);
  expect(step).toBeGreaterThan(5);
});

const cursorOf = (value: unknown) => Buffer.from(JSON.stringify(value)).toString("base64url");

test.each(["nonsense", cursorOf(["a.nl"]), cursorOf([1, 2]), cursorOf({ length: 2 })])(
  "the cursor %j, which no list gave, is refused",
  async (cursor) => {
    const { run } = testStore();
    expectRefusal(await run("list-users", { cursor }), "invalid_input");
  },
);

test("a cursor after the last mailbox gives an empty last page", async () => {
  const { must } = await withUsers(["jan@a.nl"]);
  expect(await must("list-users", { cursor: cursorOf(["z.nl", "z"]) })).toMatchObject({
    users: [],
    next_cursor: null,
  });
});
