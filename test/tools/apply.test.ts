import fc from "fast-check";
import { expect, test } from "vitest";
import { mailCall } from "../support/mail-model.ts";
import { kept, rawDatabase, recount } from "../support/recount.ts";
import { PASSWORD, testStore } from "../support/store.ts";

interface StoredAlias {
  address: string;
  send_as: number;
  live: string;
  targets: string;
}

/** The input of an apply that describes this database, and where its aliases lead. */
function described(file: string) {
  const all = <T>(query: string) => rawDatabase(file).prepare<[], T>(query).all();
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
      targets: JSON.parse(targets),
      send_as: send_as === 1,
    })),
  };
  return { input, live: aliases.map(({ address, live }) => [address, live]) };
}

const email = fc
  .tuple(fc.constantFrom("jan", "piet", "info", "sales"), fc.constantFrom("a.nl", "b.nl"))
  .map((parts) => parts.join("@"));
const of = (weight: number, endpoint: string, input: Record<string, fc.Arbitrary<unknown>>) => ({
  weight,
  arbitrary: fc.record({ endpoint: fc.constant(endpoint), input: fc.record(input) }),
});
const calls = fc.array(
  fc.oneof(
    { weight: 10, arbitrary: mailCall },
    of(12, "set-alias", {
      address: fc.oneof(email, fc.constantFrom("@a.nl", "@b.nl")),
      targets: fc.uniqueArray(fc.oneof(email, fc.constantFrom("x@out.nl", "y@far.nl", "jan@d.nl")), {
        minLength: 1,
        maxLength: 3,
      }),
    }),
    of(2, "set-alias", { address: email, targets: email.map((one) => [one]), send_as: fc.constant(true) }),
    of(2, "approve-alias", { address: email, targets: fc.constant(["y@far.nl"]) }),
    of(2, "remove-alias", { address: email }),
    of(2, "set-domain-alias", {
      domain: fc.constantFrom("d.nl", "e.nl"),
      of: fc.constantFrom("a.nl", "b.nl"),
    }),
  ),
  { minLength: 10, maxLength: 40, size: "max" },
);
const START = [
  { endpoint: "set-approved-domains", input: { add: "out.nl" } },
  ...["a.nl", "b.nl"].map((domain) => ({ endpoint: "add-domain", input: { domain } })),
  ...["jan@a.nl", "piet@b.nl"].map((one) => ({
    endpoint: "add-user",
    input: { email: one, password: PASSWORD },
  })),
];

test("an apply again changes nothing, and one of what a database has makes the same in any other", async () => {
  let same = 0;
  await fc.assert(
    fc.asyncProperty(calls, calls, async (some, others) => {
      const [from, to] = [testStore(), testStore()];
      for (const { endpoint, input } of [...START, ...some]) await from.run(endpoint, input);
      for (const { endpoint, input } of [...START, ...others]) await to.run(endpoint, input);
      for (const { file, must } of [from, to]) {
        const { input } = described(file);
        await must("apply", input); // a target that waited may be this system's own by now
        const before = kept(rawDatabase(file));
        const { domains, mailboxes, aliases, domain_aliases } = await must("apply", {
          ...input,
          prune: true,
        });
        for (const { outcome } of [domains, mailboxes, aliases, domain_aliases].flat() as Array<{
          outcome: string;
        }>)
          expect(outcome).toBe("unchanged");
        expect(kept(rawDatabase(file))).toEqual(before);
        expect(described(file).input).toEqual(input);
      }
      const wanted = described(from.file);
      const approved = { ...wanted.input, approve_outside: true, prune: true };
      await from.must("apply", approved);
      const outcome = await to.run("apply", approved);
      const raw = rawDatabase(to.file);
      expect(kept(raw)).toEqual(recount(raw));
      if (!outcome.ok) {
        // A target that is gone is refused in a new alias.
        expect(outcome.error.message).toMatch(/does not exist/);
        return;
      }
      same += 1;
      expect(await to.must("apply", approved)).toMatchObject({ revision: outcome.value.revision });
      const { input } = described(to.file);
      const active = input.mailboxes_with_passwords.filter((one) => one.active);
      expect({ ...input, mailboxes_with_passwords: active }).toMatchObject({
        all_aliases: wanted.input.all_aliases,
        domain_aliases: wanted.input.domain_aliases,
        mailboxes_with_passwords: wanted.input.mailboxes_with_passwords.filter((one) => one.active),
      });
      expect(described(to.file).live).toEqual(described(from.file).live);
    }),
    { numRuns: 25 },
  );
  expect(same).toBeGreaterThan(5);
});
