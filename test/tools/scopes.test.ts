import { expect, test } from "vitest";
import { type Principal, type Scope, scopes } from "../../tools/call/principal.ts";
import { expectRefusal } from "../support/outcome.ts";
import { rawDatabase } from "../support/recount.ts";
import { PASSWORD, stateOf, testStore } from "../support/store.ts";

const jan = { email: "jan@example.nl" };

/** The scope that each kind of call needs, as promised. */
const needs: ReadonlyArray<[endpoint: string, input: object, scope: Scope]> = [
  ["add-domain", { domain: "new.nl" }, "write"],
  ["remove-domain", { domain: "empty.nl" }, "destroy"],
  ["list-domains", {}, "read"],
  ["add-user", { email: "new@example.nl", password: PASSWORD }, "write"],
  ["remove-user", jan, "write"],
  ["remove-user", { ...jan, hard_delete: false }, "write"],
  ["remove-user", { ...jan, hard_delete: true }, "destroy"],
  ["list-users", {}, "read"],
  ["update-password", { ...jan, password: PASSWORD }, "write"],
  ["list-nodes", {}, "nodes"],
  ["add-node", { name: "new" }, "nodes"],
];

const token = (granted: readonly Scope[]): Principal => ({
  name: "claude",
  door: "mcp",
  scopes: new Set(granted),
});

async function populated() {
  const made = testStore();
  for (const domain of ["example.nl", "empty.nl"]) await made.must("add-domain", { domain });
  await made.must("add-user", { ...jan, password: PASSWORD });
  return made;
}

test.each(needs)("%s %j needs only the scope %s", async (endpoint, input, scope) => {
  const { run } = await populated();
  expect(await run(endpoint, input, token([scope]))).toMatchObject({ ok: true });
});

test.each(needs)(
  "%s %j is forbidden to a token with every scope except %s, and changes nothing",
  async (endpoint, input, scope) => {
    const { run, store, file } = await populated();
    const before = await stateOf(store);
    const outcome = await run(endpoint, input, token(scopes.filter((other) => other !== scope)));
    expect(expectRefusal(outcome, "forbidden")).toBe(
      `This access lacks the scope "${scope}", which this call needs.`,
    );
    expect(await stateOf(store)).toEqual(before);
    expect(rawDatabase(file).prepare("SELECT count(*) FROM nodes").pluck().get()).toBe(0);
  },
);

test("a forbidden call is refused before any password is hashed", async () => {
  const { runtime, run } = await populated();
  let hashed = 0;
  runtime.hashPassword = async () => {
    hashed += 1;
    return "";
  };
  expectRefusal(await run("update-password", { ...jan, password: PASSWORD }, token(["read"])), "forbidden");
  expectRefusal(await run("update-password", { ...jan, password: "short" }), "invalid_input");
  expect(hashed).toBe(0);
});
