import { expect, test } from "vitest";
import { expectRefusal } from "../../support/outcome.ts";
import { testStore } from "../../support/store.ts";

const JAN = "jan.jansen@example.nl";

test.each([
  ["among the most common", "password1"],
  ["among the most common, in capitals", "ILOVEYOU2"],
  ["the address", JAN],
  ["the address in capitals", JAN.toUpperCase()],
  ["the local part", "Jan.Jansen"],
])("a password that is %s is refused by both tools, and none of it is repeated", async (_what, password) => {
  const { must, run } = testStore();
  await must("add-domain", { domain: "example.nl" });
  const refused = await run("add-user", { email: JAN, password });
  expectRefusal(refused, "invalid_input");
  expect(JSON.stringify(refused)).not.toContain(password);
  await must("add-user", { email: JAN, password: "correct horse" });
  expectRefusal(await run("update-password", { email: JAN, password }), "invalid_input");
});

test("a password that merely contains the address is accepted", async () => {
  const { must } = testStore();
  await must("add-domain", { domain: "example.nl" });
  await must("add-user", { email: JAN, password: `${JAN} likes bread` });
});
