import { expect, test } from "vitest";
import type { MailboxUsage } from "../../../src/sync/usage.ts";
import type { Principal } from "../../../tools/call/principal.ts";
import { expectRefusal } from "../../support/outcome.ts";
import { PASSWORD, type TestStore, testStore, toolOf } from "../../support/store.ts";

const TODAY = "2026-11-30";
const domain = "example.nl";
const none = {
  used_mb: null,
  used_percent: null,
  messages: null,
  last_login: null,
  unused_since: null,
  reported_on: null,
};

interface Mailbox {
  email: string;
  [field: string]: unknown;
}

interface WithUsers extends TestStore {
  report(
    mailboxes: readonly Partial<MailboxUsage>[],
    options?: { day?: string; id?: number; domains?: string[] | null },
  ): Promise<void>;
  list(input?: object): Promise<{ mailboxes: Mailbox[]; total: number; next_cursor: string | null }>;
  emails(input?: object): Promise<string[]>;
}

async function withUsers(...names: string[]): Promise<WithUsers> {
  const made = testStore({ now: () => new Date(`${TODAY}T12:00:00Z`) });
  const { must, store } = made;
  for (const name of [domain, "other.nl"]) await must("add-domain", { domain: name });
  for (const name of names) {
    const email = name.includes("@") ? name : `${name}@${domain}`;
    await must("add-user", { email, password: PASSWORD, quota_mb: 100 });
  }
  const list: WithUsers["list"] = async (input = {}) => {
    const listed = await must("list-usage", { domain, ...input });
    toolOf("list-usage").output.strict().parse(listed);
    return listed as never;
  };
  return {
    ...made,
    report: (mailboxes, { day = TODAY, id = 1, domains = null } = {}) => {
      const whole = mailboxes.map((one) => ({ user: `jan@${domain}`, used_kib: 0, messages: 0, ...one }));
      return store.write(({ usage }) => usage.report({ id, domains }, whole, day));
    },
    list,
    emails: async (input) => (await list(input)).mailboxes.map(({ email }) => email),
  };
}

const kib = (name: string, used_kib: number) => ({ user: `${name}@${domain}`, used_kib });
const login = (name: string, last_login: string | null) => ({ user: `${name}@${domain}`, last_login });

test("a domain's mailboxes are listed with what nodes have reported, and the others without", async () => {
  const { report, list, must } = await withUsers("jan", "anna", "els@other.nl");
  await report([{ used_kib: 51_201, messages: 7, last_login: "2026-11-28" }]);
  const jan = {
    used_mb: 51,
    used_percent: 50,
    messages: 7,
    last_login: "2026-11-28",
    unused_since: "2026-11-28",
    reported_on: TODAY,
  };
  const same = { active: true, quota_mb: 100 };
  expect(await list()).toEqual({
    mailboxes: [
      { email: `anna@${domain}`, ...same, ...none },
      { email: `jan@${domain}`, ...same, ...jan },
    ],
    total: 2,
    next_cursor: null,
  });
  expect(await must("show-user", { email: `jan@${domain}` })).toMatchObject(jan);
  expect(await must("show-user", { email: `anna@${domain}` })).toMatchObject(none);
});

test("mailboxes are listed page by page, by their address, their size, or how long nobody has used them", async () => {
  const { report, list } = await withUsers("a", "b", "c", "d");
  await report([
    { ...kib("a", 30), last_login: "2026-11-02" },
    { ...kib("b", 40), last_login: "2026-11-01" },
    { ...kib("c", 30), last_login: "2026-11-02" },
  ]);
  const pages = async (input: object) => {
    const seen: string[] = [];
    for (let cursor: string | null | undefined; cursor !== null; ) {
      const page = await list({ ...input, limit: 1, ...(cursor && { cursor }) });
      seen.push(`${page.mailboxes.map(({ email }) => email[0]).join()}/${page.total}`);
      cursor = page.next_cursor;
    }
    return seen;
  };
  expect(await pages({})).toEqual(["a/4", "b/4", "c/4", "d/4"]);
  expect(await pages({ order: "largest" })).toEqual(["b/3", "c/3", "a/3"]);
  expect(await pages({ inactive_days: 10 })).toEqual(["b/3", "a/3", "c/3"]);
  expect(await pages({ inactive_days: 29 })).toEqual(["b/1"]);
});

test("a cursor belongs to its own list, and two orders at once are refused", async () => {
  const { list, run } = await withUsers("a", "b");
  const { next_cursor: cursor } = await list({ limit: 1 });
  expectRefusal(await run("list-usage", { domain, cursor, order: "largest" }), "invalid_input");
  expectRefusal(await run("list-usage", { domain, order: "address", inactive_days: 1 }), "invalid_input");
});

test("a mailbox without a login counts as unused from the day on which a node began to look", async () => {
  const { report, list, emails } = await withUsers("never", "blind", "late");
  await report([login("never", null), kib("blind", 1), login("late", null)], { day: "2026-11-10" });
  await report([login("never", null), kib("blind", 1), login("late", "2026-11-20")]);
  expect(await emails({ inactive_days: 20 })).toEqual([`never@${domain}`]);
  expect(await emails({ inactive_days: 21 })).toEqual([]);
  expect(await emails({ inactive_days: 10 })).toEqual([`never@${domain}`, `late@${domain}`]);
  const { mailboxes } = await list();
  expect(mailboxes.map(({ last_login, unused_since }) => [last_login, unused_since])).toEqual([
    [null, null],
    ["2026-11-20", "2026-11-20"],
    [null, "2026-11-10"],
  ]);
});

test("of several nodes the largest size and the latest login are shown, and each node corrects its own", async () => {
  const { report, list } = await withUsers("jan");
  const jan = async () => {
    const { mailboxes } = await list();
    return mailboxes.flatMap(({ used_mb, last_login, reported_on }) => [used_mb, last_login, reported_on]);
  };
  await report([{ used_kib: 2048, last_login: "2026-11-01" }], { id: 1, day: "2026-11-10" });
  await report([{ used_kib: 1024, last_login: "2026-11-05" }], { id: 2, day: "2026-11-11" });
  expect(await jan()).toEqual([2, "2026-11-05", "2026-11-10"]);
  await report([{ used_kib: 4096, last_login: null }], { id: 2, day: "2026-11-12" });
  expect(await jan()).toEqual([4, "2026-11-05", "2026-11-12"]);
  await report([{ used_kib: 0, last_login: "2026-11-04" }], { id: 2, day: "2026-11-13" });
  expect(await jan()).toEqual([0, "2026-11-05", "2026-11-13"]);
  await report([{ used_kib: 2048 }], { id: 1, day: "2026-11-13" });
  expect(await jan()).toEqual([2, "2026-11-05", "2026-11-13"]);
  await report([{ used_kib: 1024 }], { id: 2, day: "2026-11-16" });
  expect((await jan())[0]).toBe(2);
  await report([{ used_kib: 1024 }], { id: 2, day: "2026-11-17" });
  expect((await jan())[0]).toBe(1);
});

test("a node's wrong clock makes no login of the future", async () => {
  const { report, list } = await withUsers("jan");
  await report([login("jan", "2099-01-01")]);
  expect((await list()).mailboxes[0]).toMatchObject({ last_login: TODAY, unused_since: TODAY });
});

test("a report is about mailboxes that its node serves, and makes no revision", async () => {
  const { report, list, must } = await withUsers("jan", "els@other.nl");
  const { revision } = await must("list-nodes");
  const both = [kib("jan", 1024), { user: "els@other.nl", used_kib: 1024 }, kib("nobody", 1)];
  await report(both, { domains: [domain] });
  expect((await list()).mailboxes).toMatchObject([{ used_mb: 1 }]);
  expect((await list({ domain: "other.nl" })).mailboxes).toMatchObject([none]);
  expect(await must("list-nodes")).toMatchObject({ revision });
});

test("figures follow a renamed mailbox, and end with a mailbox that is removed for good", async () => {
  const { report, emails, list, must } = await withUsers("jan", "anna");
  await report([kib("jan", 1024), { ...kib("anna", 2048), last_login: null }], { day: "2026-11-01" });
  await must("rename-user", { email: `anna@${domain}`, new_email: "anna@other.nl" });
  const largest = { order: "largest" };
  expect(await emails(largest)).toEqual([`jan@${domain}`]);
  expect(await emails({ ...largest, domain: "other.nl" })).toEqual(["anna@other.nl"]);
  expect(await emails({ inactive_days: 29, domain: "other.nl" })).toEqual(["anna@other.nl"]);
  const jan = { email: `jan@${domain}` };
  await must("remove-user", jan);
  expect((await list(largest)).mailboxes).toMatchObject([{ ...jan, active: false, used_mb: 1 }]);
  await must("remove-user", { ...jan, hard_delete: true });
  await must("add-user", { ...jan, password: PASSWORD });
  expect(await list(largest)).toMatchObject({ mailboxes: [], total: 0 });
  expect((await list()).mailboxes).toMatchObject([none]);
});

test("a token for some domains sees no other domain's figures", async () => {
  const { run } = await withUsers("jan");
  const tenant: Principal = {
    name: "t",
    door: "mcp",
    scopes: new Set(["read"]),
    domains: new Set(["other.nl"]),
  };
  expectRefusal(await run("list-usage", { domain }, tenant), "domain_not_found");
  expect(await run("list-usage", { domain: "other.nl" }, tenant)).toMatchObject({ value: { total: 0 } });
});
