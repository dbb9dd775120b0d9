import { join } from "node:path";
import { domainToUnicode } from "node:url";
import fc from "fast-check";
import { expect, onTestFinished, test } from "vitest";
import { seedDatabase } from "../../db/sqlite/seed.ts";
import { openStore } from "../../db/sqlite/store.ts";
import { call } from "../../tools/call/call.ts";
import { operator, type Scope } from "../../tools/call/principal.ts";
import { expectRefusal } from "../support/outcome.ts";
import { PASSWORD, temporaryFolder, testRuntime, testStore, toolOf } from "../support/store.ts";

interface Page {
  users: Array<{ email: string }>;
  total: number;
  next_cursor: string | null;
}

const DOMAINS = ["a.nl", "ab.nl", "a.b.nl", "a-b.nl", "bücher.nl", "büro.nl", "büroœ.nl", "пример.рф"];
const NAMES = ["jan", "jan.j", "jan_j", "jan-j", "ja", "j", "janna", "k", "0jan"];

/** Every name in every domain. One of them is inactive. */
async function populated() {
  const made = testStore();
  const emails: string[] = [];
  for (const typed of DOMAINS) {
    const { domain } = await made.must("add-domain", { domain: typed });
    for (const name of NAMES) {
      const email = `${name}@${domain}`;
      await made.must("add-user", { email, password: PASSWORD });
      emails.push(email);
    }
  }
  await made.must("remove-user", { email: "jan@a.nl" });
  return { ...made, emails };
}

type Must = Awaited<ReturnType<typeof populated>>["must"];

async function found(
  must: Must,
  input: Record<string, unknown>,
): Promise<{ emails: string[]; total: number }> {
  const emails: string[] = [];
  for (let cursor: string | null | undefined; ; ) {
    const page = (await must("list-users", { ...input, ...(cursor && { cursor }) })) as unknown as Page;
    emails.push(...page.users.map(({ email }) => email));
    cursor = page.next_cursor;
    if (cursor === null) return { emails, total: page.total };
    if (emails.length > 2000) throw new Error("the pages go round in a circle");
  }
}

/** Returns the address in each form of its domain. */
const forms = (email: string) => [
  email,
  email.replace(/@.*/, (domain) => `@${domainToUnicode(domain.slice(1))}`),
];

test("a search finds every address with the prefix once, in any case and with any page size", async () => {
  const { must, emails } = await populated();
  await fc.assert(
    fc.asyncProperty(
      fc.constantFrom(...emails),
      fc.nat(40),
      fc.constantFrom(1, 2, 7, 100),
      fc.option(fc.constantFrom("a.nl", "ab.nl", "xn--bro-hoa.nl"), { nil: undefined }),
      fc.boolean(),
      async (email, length, limit, domain, shouts) => {
        const start = email.slice(0, length + 1);
        const search = shouts ? start.toUpperCase() : start;
        const result = await found(must, { search, limit, ...(domain && { domain }) });
        const expected = emails.filter(
          (one) => one.startsWith(start) && (domain === undefined || one.endsWith(`@${domain}`)),
        );
        expect(result.emails.toSorted()).toEqual(expected.toSorted());
        expect(result.total).toBe(expected.length);
      },
    ),
    { numRuns: 150 },
  );
});

test("a Unicode domain is found by whole labels and by the ASCII after them", async () => {
  const { must, emails } = await populated();
  for (const email of emails) {
    const [stored = "", typed = ""] = forms(email);
    if (stored === typed) continue;
    for (let length = typed.indexOf("@") + 1; length <= typed.length; length += 1) {
      const search = typed.slice(0, length);
      const [label = ""] = /[^@.]*$/.exec(search) ?? [];
      const [rest = ""] = /^[^.]*/.exec(typed.slice(length)) ?? [];
      const isWhole = label === "" || rest === "" || /^[a-z]*$/.test(label + rest);
      const { emails: results } = await found(must, { search: search.toUpperCase() });
      if (isWhole) expect(results, search).toContain(stored);
    }
  }
  const of = async (search: string) => (await found(must, { search })).emails;
  expect(await of("jan@büro")).toEqual(["jan@xn--bro-hoa.nl"]);
  expect(await of("jan@Büro.nl")).toEqual(["jan@xn--bro-hoa.nl"]);
  expect(await of("jan@bür")).toEqual([]);
  expect(await of("jan@пример.рф")).toEqual(["jan@xn--e1afmkfd.xn--p1ai"]);
});

test("a search counts up to ten thousand, and its later pages are right too", async () => {
  const file = join(temporaryFolder(), "m25-mail.db");
  await seedDatabase(file, { users: 10_300, domains: 3, passwordHash: "x", at: "2026-03-01T12:00:00.000Z" });
  const store = openStore(file, { create: false });
  onTestFinished(() => store.close());
  const { must } = testRuntime(store);
  const seen = new Set<string>();
  for (let cursor: string | null | undefined; cursor !== null; ) {
    const input = { search: "user", limit: 1000, ...(cursor && { cursor }) };
    const page = (await must("list-users", input)) as unknown as Page;
    expect(page.total).toBe(10_000);
    for (const { email } of page.users) seen.add(email);
    cursor = page.next_cursor;
  }
  expect(seen.size).toBe(10_300);
  const [one = ""] = seen;
  expect(await must("list-users", { search: one })).toMatchObject({ users: [{ email: one }], total: 1 });
});

test("a name that a thousand domains have is found in the domains with the prefix", async () => {
  const file = join(temporaryFolder(), "m25-mail.db");
  await seedDatabase(file, { users: 1100, domains: 1100, passwordHash: "x", at: "2026-03-01T12:00:00.000Z" });
  const store = openStore(file, { create: false });
  onTestFinished(() => store.close());
  const { must } = testRuntime(store);
  for (const limit of [7, 1000]) {
    const result = await found(must, { search: "user0001@domain01", limit });
    const numbers = Array.from({ length: 100 }, (_, index) => `01${String(index).padStart(2, "0")}`);
    expect(result).toEqual({
      emails: numbers.map((number) => `user0001@domain${number}.example`),
      total: 100,
    });
  }
  expect((await found(must, { search: "user0001@domain", limit: 1000 })).total).toBe(1100);
});

test("a refused search is recorded as it was meant", async () => {
  const { runtime, must } = await populated();
  const principal = { ...operator("cli"), scopes: new Set<Scope>(["write"]) };
  const outcome = await call(runtime, {
    principal,
    tool: toolOf("list-users"),
    input: { search: "Jan@bÜro" },
  });
  expect(outcome.ok).toBe(false);
  const { entries } = (await must("read-audit")) as { entries: Array<Record<string, unknown>> };
  expect(entries.at(-1)?.arguments).toEqual({ search: "jan@xn--bro-hoa" });
});

test("inactive mailboxes are found too, and a search without matches is an empty list that says so", async () => {
  const { must } = await populated();
  expect(await must("list-users", { search: "jan@a.nl" })).toMatchObject({
    users: [{ email: "jan@a.nl", active: false }],
    total: 1,
    next_cursor: null,
  });
  for (const search of ["zz", "jan@z", "jan@a.nl.x", "jan@a..nl"]) {
    expect(await must("list-users", { search })).toMatchObject({ users: [], total: 0 });
  }
  const empty = await must("list-users", { search: "jansen" });
  expect(empty.note).toContainEqual({ field: "search" });
  expect(await must("list-users", { search: "jan" })).not.toHaveProperty("note");
  expect(await must("list-users", { search: "jan@ab", domain: "a.nl" })).toMatchObject({ total: 0 });
});

test.each([
  ["a name", "Jan Jansen"],
  ["a local part in other letters", "jän"],
  ["a letter that only looks like a k", "\u212a"],
  ["a domain in letters that only look like ASCII's", "jan@\uff41.nl"],
  ["a domain alone", "@example.nl"],
  ["two @", "jan@a@b"],
  ["a wildcard", "jan%"],
  ["an empty text", ""],
])("a search for %s is refused", async (_what, search) => {
  const { run } = testStore();
  expect(expectRefusal(await run("list-users", { search }), "invalid_input")).toContain("search: ");
});

test("a cursor continues its own search in its own domain, and is refused elsewhere", async () => {
  const { must, run } = await populated();
  const cursorOf = async (input: object) =>
    String(((await must("list-users", { ...input, limit: 1 })) as unknown as Page).next_cursor);
  const lists = [
    {},
    { search: "jan" },
    { search: "ja" },
    { search: "jan@a" },
    { search: "jan", domain: "a.nl" },
    { search: "jan", domain: "ab.nl" },
  ];
  for (const made of lists) {
    for (const used of lists) {
      const outcome = await run("list-users", { ...used, cursor: await cursorOf(made) });
      if (made === used) expect(outcome.ok).toBe(true);
      else expectRefusal(outcome, "invalid_input");
    }
  }
  const same = { search: "JAN", cursor: await cursorOf({ search: "jan" }) };
  expect((await run("list-users", same)).ok).toBe(true);
});

test("a search's pages stay right while mailboxes and domains are added and removed", async () => {
  const { must } = await populated();
  const first = (await must("list-users", { search: "jan", limit: 3 })) as unknown as Page;
  await must("remove-user", { email: first.users.at(-1)?.email, hard_delete: true });
  await must("add-user", { email: "jana@a.nl", password: PASSWORD });
  const rest = await found(must, { search: "jan", cursor: first.next_cursor });
  const seen = [...first.users.map(({ email }) => email), ...rest.emails];
  expect(new Set(seen).size).toBe(seen.length);
  expect(seen).toContain("jana@a.nl");
});

test("access to some domains finds and counts their mailboxes only", async () => {
  const { runtime, emails } = await populated();
  const domains = new Set(["ab.nl", "xn--bro-hoa.nl", "other.nl"]);
  const principal = { ...operator("cli"), domains };
  for (const search of ["jan", "j", "jan@", "jan@a", "jan@b", "jan@büro"]) {
    const outcome = await call(runtime, { principal, tool: toolOf("list-users"), input: { search } });
    const result = (outcome.ok ? outcome.value : {}) as unknown as Page;
    const start = search.replace("büro", "xn--bro-hoa");
    const expected = emails.filter(
      (email) => email.startsWith(start) && domains.has(email.slice(email.indexOf("@") + 1)),
    );
    expect(result.users.map(({ email }) => email).toSorted()).toEqual(expected.toSorted());
    expect(result.total).toBe(expected.length);
  }
});
