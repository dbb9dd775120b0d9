import { expect, test } from "vitest";
import { expectRefusal } from "../support/outcome.ts";
import { PASSWORD, testStore, toolOf } from "../support/store.ts";

test("without domains the list is empty, not an error", async () => {
  const { must } = testStore();
  expect(await must("list-domains")).toEqual({ domains: [], total: 0, next_cursor: null });
});

test("each domain shows its active and inactive mailboxes", async () => {
  const { must } = testStore({ now: () => new Date("2026-03-01T12:00:00Z") });
  await must("add-domain", { domain: "example.nl" });
  await must("add-domain", { domain: "empty.nl" });
  for (const name of ["jan", "piet", "kees"]) {
    await must("add-user", { email: `${name}@example.nl`, password: PASSWORD });
  }
  await must("remove-user", { email: "kees@example.nl" });
  const created_at = "2026-03-01T12:00:00.000Z";
  const listed = await must("list-domains");
  expect(listed).toEqual({
    domains: [
      { domain: "empty.nl", user_count: 0, inactive_user_count: 0, created_at },
      { domain: "example.nl", user_count: 2, inactive_user_count: 1, created_at },
    ],
    total: 2,
    next_cursor: null,
  });
  toolOf("list-domains").output.strict().parse(listed);
});

test("pages are in alphabetical order, list each domain once, and the last has no cursor", async () => {
  const { must } = testStore();
  const names = ["a.nl", "a-b.nl", "aa.nl", "b.nl", "xn--bcher-kva.nl", "z.nl", "1.nl"];
  for (const domain of names) await must("add-domain", { domain });
  const seen: string[] = [];
  let cursor: unknown;
  do {
    const page = await must("list-domains", { limit: 3, ...(cursor !== undefined && { cursor }) });
    expect(page.total).toBe(names.length);
    seen.push(...(page.domains as Array<{ domain: string }>).map(({ domain }) => domain));
    cursor = page.next_cursor;
  } while (cursor !== null && seen.length < 100);
  expect(seen).toEqual([...names].sort());
});

test("a full page is the last if nothing follows", async () => {
  const { must } = testStore();
  for (const domain of ["a.nl", "b.nl"]) await must("add-domain", { domain });
  expect(await must("list-domains", { limit: 2 })).toMatchObject({ next_cursor: null });
  expect(await must("list-domains", { limit: 1 })).toMatchObject({ next_cursor: expect.any(String) });
});

test.each([0, -1, 1001, 1.5, "5", null, true])("a limit of %j is refused", async (limit) => {
  const { run } = testStore();
  expectRefusal(await run("list-domains", { limit }), "invalid_input");
});

const cursorOf = (value: unknown) => Buffer.from(JSON.stringify(value)).toString("base64url");

test.each([
  "",
  "x",
  "%%%",
  "null",
  cursorOf(null),
  cursorOf([]),
  cursorOf([5]),
  cursorOf(["a.nl", "b"]),
  cursorOf("a"),
])("the cursor %j, which no list gave, is refused, and the hint says how to start again", async (cursor) => {
  const { run } = testStore();
  expectRefusal(await run("list-domains", { cursor }), "invalid_input");
});

test("a cursor of a megabyte is refused", async () => {
  const { run } = testStore();
  expectRefusal(await run("list-domains", { cursor: "x".repeat(1_000_000) }), "invalid_input");
});
