/** Applies what random histories have left in a database: to itself, where nothing may change, and to another one. */
import fc from "fast-check";
import { expect, test } from "vitest";
import { callOf, mailCall } from "../support/mail-model.ts";
import { kept, rawDatabase, recount } from "../support/recount.ts";
import { PASSWORD, type TestStore, testStore } from "../support/store.ts";

interface Shop extends TestStore {
  raw: ReturnType<typeof rawDatabase>;
}

interface StoredAlias {
  address: string;
  send_as: number;
  live: string;
  targets: string;
}

/** The input of an apply that describes this database, and where its aliases lead. */
function described({ raw }: Shop) {
  const all = <T>(query: string) => raw.prepare<[], T>(query).all();
  const aliases = all<StoredAlias>(
    `SELECT local_part || '@' || name AS address, send_as, live, (SELECT json_group_array(target) FROM
       (SELECT local_part || '@' || domain AS target FROM alias_targets WHERE alias_id = aliases.id ORDER BY 1)) AS targets
     FROM aliases JOIN domains ON domains.id = domain_id ORDER BY 1`,
  );
  const mailboxes = all<{ email: string; hash: string; quota_mb: number; active: number }>(
    `SELECT local_part || '@' || name AS email, password_hash AS hash, quota_mb, active FROM users
     JOIN domains ON domains.id = domain_id ORDER BY 1`,
  );
  const input = {
    file: "f",
    mailbox_count: mailboxes.length,
    domains: all<{ name: string }>("SELECT name FROM domains ORDER BY 1").map(({ name }) => name),
    domain_aliases: all<{ name: string; of: string }>(
      "SELECT domain_aliases.name, domains.name AS of FROM domain_aliases JOIN domains ON domains.id = domain_id ORDER BY 1",
    ),
    mailboxes_with_passwords: mailboxes.map(({ email, hash, quota_mb, active }) => ({
      address: email,
      place: "",
      password: { hash },
      quota_mb,
      active: active === 1,
    })),
    all_aliases: aliases.map(({ address, send_as, targets }) => ({
      address,
      place: "",
      targets: JSON.parse(targets) as string[],
      send_as: send_as === 1,
    })),
    prune: true,
  };
  return { input, live: aliases.map(({ address, live }) => [address, live]) };
}
type Input = ReturnType<typeof described>["input"] & { approve_outside?: true };

interface Step {
  name: string;
  outcome: string;
  reason?: string;
}

async function stepsOf({ must }: Shop, endpoint: "plan-apply" | "apply", input: Input): Promise<Step[]> {
  const { domains, mailboxes, domain_aliases, aliases } = await must(endpoint, input);
  return [domains, mailboxes, domain_aliases, aliases].flat() as Step[];
}

/** The input without the aliases that an apply refuses, because they lead back or their targets are not there. */
async function withoutRefused(shop: Shop, input: Input): Promise<Input> {
  const refused = (await stepsOf(shop, "plan-apply", input)).filter(({ outcome }) => outcome === "refused");
  if (refused.length === 0) return input;
  for (const { reason } of refused) expect(reason).toMatch(/ does not exist$|^it leads back to itself$/);
  const names = new Set(refused.map(({ name }) => name));
  return withoutRefused(shop, {
    ...input,
    all_aliases: input.all_aliases.filter(({ address }) => !names.has(address)),
  });
}

const email = fc
  .tuple(fc.constantFrom("jan", "piet", "info", "sales"), fc.constantFrom("a.nl", "b.nl"))
  .map((parts) => parts.join("@"));
const calls = fc.array(
  fc.oneof(
    { weight: 10, arbitrary: mailCall },
    callOf(12, "set-alias", {
      address: fc.oneof(email, fc.constantFrom("@a.nl", "@b.nl")),
      targets: fc.uniqueArray(fc.oneof(email, fc.constantFrom("x@out.nl", "y@far.nl", "jan@d.nl")), {
        minLength: 1,
        maxLength: 3,
      }),
    }),
    callOf(2, "set-alias", {
      address: email,
      targets: email.map((one) => [one]),
      send_as: fc.constant(true),
    }),
    callOf(2, "approve-alias", { address: email, targets: fc.constant(["y@far.nl"]) }),
    callOf(2, "remove-alias", { address: email }),
    callOf(2, "set-domain-alias", {
      domain: fc.constantFrom("d.nl", "e.nl"),
      of: fc.constantFrom("a.nl", "b.nl"),
    }),
  ),
  { minLength: 10, maxLength: 40, size: "max" },
);

/** A database with this history, and with jan@a.nl at its end. */
async function shopAfter(history: readonly { endpoint: string; input: unknown }[]): Promise<Shop> {
  const store = testStore();
  await store.must("set-approved-domains", { add: "out.nl" });
  const jan = { endpoint: "add-user", input: { email: "jan@a.nl", password: PASSWORD } };
  const domains = ["a.nl", "b.nl"].map((domain) => ({ endpoint: "add-domain", input: { domain } }));
  for (const { endpoint, input } of [...domains, jan, ...history, ...domains, jan])
    await store.run(endpoint, input);
  return { ...store, raw: rawDatabase(store.file) };
}

/** Makes an alias lead back by a target that waited and is this system's own by now, and others by a domain alias that moved. */
async function makeCircles({ must }: Shop): Promise<void> {
  await must("set-alias", { address: "loop@a.nl", targets: ["back@f.nl"] });
  await must("set-domain-alias", { domain: "f.nl", of: "a.nl" });
  await must("set-alias", { address: "back@a.nl", targets: ["loop@a.nl"] });
  await must("add-user", { email: "els@b.nl", password: PASSWORD });
  await must("set-alias", { address: "round@b.nl", targets: ["els@b.nl"] });
  await must("set-domain-alias", { domain: "g.nl", of: "b.nl" });
  await must("set-alias", { address: "ring@a.nl", targets: ["round@g.nl"] });
  await must("set-alias", { address: "round@a.nl", targets: ["ring@a.nl"] });
  await must("set-domain-alias", { domain: "g.nl", of: "a.nl" });
}

test("an apply of what a database has changes nothing there, and makes the same in any other", async () => {
  await fc.assert(
    fc.asyncProperty(calls, calls, async (some, others) => {
      const [from, to] = [await shopAfter(some), await shopAfter(others)];
      await from.must("set-alias", { address: "team@a.nl", targets: ["jan@a.nl"], send_as: true });
      await to.must("set-alias", { address: "former@a.nl", targets: ["x@out.nl"] });
      for (const shop of [from, to]) await makeCircles(shop);
      for (const shop of [from, to]) {
        const { input } = described(shop);
        const before = kept(shop.raw);
        for (const step of await stepsOf(shop, "apply", input))
          expect(step).toEqual({ name: step.name, outcome: "unchanged" });
        expect(kept(shop.raw)).toEqual(before);
        expect(described(shop).input).toEqual(input);
      }
      const approved: Input = { ...described(from).input, approve_outside: true };
      const wanted = await withoutRefused(to, await withoutRefused(from, approved));
      expect(wanted.all_aliases.map(({ address }) => address)).not.toContain("loop@a.nl");
      await from.must("apply", wanted);
      expect(await stepsOf(to, "apply", wanted)).toEqual(
        expect.arrayContaining([
          { name: "team@a.nl", outcome: "added" },
          { name: "former@a.nl", outcome: "removed" },
        ]),
      );
      const { raw } = to;
      const made = described(to);
      expect(kept(raw)).toEqual(recount(raw));
      const revision = kept(raw);
      for (const { outcome } of await stepsOf(to, "apply", wanted)) expect(outcome).toBe("unchanged");
      expect(kept(raw)).toEqual(revision);
      const active = (input: Input) => input.mailboxes_with_passwords.filter((one) => one.active);
      expect({ ...made.input, mailboxes: active(made.input) }).toMatchObject({
        all_aliases: wanted.all_aliases,
        domain_aliases: wanted.domain_aliases,
        mailboxes: active(wanted),
      });
      expect(made.live).toEqual(described(from).live);
    }),
    { numRuns: Number(process.env.RUNS ?? 25) },
  );
});
