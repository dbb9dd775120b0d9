import { expect, test } from "vitest";
import { expectRefusal } from "../support/reply.ts";
import { testStore, toolOf } from "../support/store.ts";

test("a domain is registered in its stored form", async () => {
  const { must } = testStore({ now: () => new Date("2026-03-01T12:00:00Z") });
  const added = await must("add-domain", { domain: "Bücher.Example" });
  expect(added).toEqual({
    domain: "xn--bcher-kva.example",
    created_at: "2026-03-01T12:00:00.000Z",
    revision: 1,
  });
  toolOf("add-domain").output.strict().parse(added);
});

test("a domain that is registered, in whatever spelling, is refused, and the hint says how to go on", async () => {
  const { must, run } = testStore();
  await must("add-domain", { domain: "bücher.example" });
  for (const domain of ["bücher.example", "BÜCHER.EXAMPLE", "xn--bcher-kva.example"]) {
    expectRefusal(await run("add-domain", { domain }), "domain_exists", "m25_mail_add_user");
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
  ["a field too many", { domain: "example.nl", quota_mb: 5 }],
  ["a list instead of an object", ["example.nl"]],
  ["a text instead of an object", "example.nl"],
])("%s as input is refused, and nothing is registered", async (_what, input) => {
  const { run, must } = testStore();
  expectRefusal(await run("add-domain", input), "invalid_input", /domain/);
  expect(await must("list-domains")).toMatchObject({ total: 0 });
});

test("whoever registers a domain is told before what that does to mail for it, and in which form it is stored", () => {
  const { description, input } = toolOf("add-domain");
  expect(description).toMatch(
    /own mailboxes to it stays here, whatever its MX records say, and is refused for/,
  );
  expect(description).toMatch(/only a domain of the person's own, and create its mailboxes at once/);
  expect(input.shape.domain?.description).toMatch(/ASCII \(xn--…\), the form that logins/);
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
])("%s, a public provider's, is refused: mail to all its addresses would stay here", async (domain) => {
  const { run, must } = testStore();
  expectRefusal(await run("add-domain", { domain }), "forbidden", "--public-provider");
  expect(await must("list-domains", {})).toMatchObject({ total: 0 });
});

test("a name below or beside a public provider's is somebody's own", async () => {
  const { must } = testStore();
  for (const domain of ["gmail.bakery.example", "mygmail.com", "bakery.nl"])
    await must("add-domain", { domain });
});
