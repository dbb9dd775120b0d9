import { expect, test } from "vitest";
import { operator, type Principal } from "../../tools/call/principal.ts";
import { expectRefusal } from "../support/outcome.ts";
import { testStore, toolOf } from "../support/store.ts";

test("a domain is registered in its stored form", async () => {
  const { must } = testStore({ now: () => new Date("2026-03-01T12:00:00Z") });
  const added = await must("add-domain", { domain: "Bücher.Example" });
  expect(added).toEqual({
    domain: "xn--bcher-kva.example",
    created_at: "2026-03-01T12:00:00.000Z",
    revision: 1,
    note: expect.any(Array),
  });
  toolOf("add-domain").output.strict().parse(added);
});

test("a registered domain is refused in any spelling, and the hint names the next step", async () => {
  const { must, run } = testStore();
  await must("add-domain", { domain: "bücher.example" });
  for (const domain of ["bücher.example", "BÜCHER.EXAMPLE", "xn--bcher-kva.example"]) {
    expectRefusal(await run("add-domain", { domain }), "domain_exists", ["add-user"]);
  }
});

test.each([
  ["nothing", {}],
  ["no domain", { domain: "" }],
  ["a null", { domain: null }],
  ["a list", { domain: ["example.nl"] }],
  ["a number", { domain: 5 }],
  ["an address", { domain: "jan@example.nl" }],
  ["a URL", { domain: "https://example.nl" }],
  ["an extra field", { domain: "example.nl", quota_mb: 5 }],
  ["a list instead of an object", ["example.nl"]],
  ["a text instead of an object", "example.nl"],
])("%s as input is refused, and nothing is registered", async (_what, input) => {
  const { run, must } = testStore();
  expectRefusal(await run("add-domain", input), "invalid_input");
  expect(await must("list-domains")).toMatchObject({ total: 0 });
});

test("adding a domain names registered domains one typo away, if the caller may see them", async () => {
  const { must, run } = testStore();
  for (const domain of ["bakery.example", "baker.example", "mill.example"])
    await must("add-domain", { domain });
  expect(await must("add-domain", { domain: "bakrey.example" })).toMatchObject({
    similar_to: ["bakery.example"],
  });
  expect(await must("add-domain", { domain: "bakers.example" })).toMatchObject({
    similar_to: ["baker.example", "bakery.example"],
  });
  expect(await must("add-domain", { domain: "smithy.example" })).not.toHaveProperty("similar_to");
  const tenant: Principal = {
    ...operator("cli"),
    name: "t",
    domains: new Set(["mil.example", "mll.example"]),
  };
  const outcome = await run("add-domain", { domain: "mil.example" }, tenant);
  if (!outcome.ok) throw outcome.error;
  expect(outcome.value).not.toHaveProperty("similar_to");
  expect(await run("add-domain", { domain: "mll.example" }, tenant)).toMatchObject({
    value: { similar_to: ["mil.example"] },
  });
});

test("at most five similar domains are named, and none for a name too long to compare", async () => {
  const { must } = testStore();
  for (const digit of "12345678") await must("add-domain", { domain: `mail${digit}.example` });
  expect(await must("add-domain", { domain: "mail9.example" })).toMatchObject({ similar_to: { length: 5 } });
  const long = `${"a".repeat(63)}.${"b".repeat(63)}.example`;
  await must("add-domain", { domain: long });
  expect(await must("add-domain", { domain: `a${long.slice(2)}` })).not.toHaveProperty("similar_to");
});

test.each([
  "gmail.com",
  "GMail.com",
  "googlemail.com",
  "hotmail.nl",
  "outlook.com",
  "gmx.de",
  "web.de",
  "icloud.com",
])(
  "the public mail provider's domain %s is refused, because mail to its addresses would stay here",
  async (domain) => {
    const { run, must } = testStore();
    expectRefusal(await run("add-domain", { domain }), "forbidden");
    expect(await must("list-domains", {})).toMatchObject({ total: 0 });
  },
);

test("a subdomain of a public provider, or a similar name, is accepted", async () => {
  const { must } = testStore();
  for (const domain of ["gmail.bakery.example", "mygmail.com", "bakery.nl"])
    await must("add-domain", { domain });
});
