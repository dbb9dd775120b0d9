import fc from "fast-check";
import { expect, test } from "vitest";
import { activeUsers, expected, type Model, mailCall, signedIn } from "../support/mail-model.ts";
import { kept, rawDatabase, recount, servedState } from "../support/recount.ts";
import { fakeHash, stateOf, testStore } from "../support/store.ts";

const calls = fc.array(mailCall, { minLength: 5, maxLength: 40, size: "max" }); // long enough to cover every answer

test("after any calls, counts and digests match the rows, and nodes are served the model's state", async () => {
  const answers = new Set<string>();
  await fc.assert(
    fc.asyncProperty(calls, async (sequence) => {
      const { run, store, file, bugs } = testStore();
      const database = rawDatabase(file);
      const model: Model = new Map();
      for (const each of sequence) {
        const before = await stateOf(store);
        const wanted = expected(model, each);
        const outcome = await run(each.endpoint, (await signedIn(store, each)).input);
        answers.add(`${each.endpoint} ${wanted}`);
        const after = await stateOf(store);
        const changed = after.digest === before.digest ? "unchanged" : "changed";
        expect(outcome.ok ? changed : outcome.error.code).toBe(wanted);
        expect(after.revision).toBe(before.revision + (wanted === "changed" ? 1 : 0));
        expect(kept(database)).toEqual(recount(database));
      }
      const { domains, users } = await servedState(store);
      expect([...domains.keys()].sort()).toEqual([...model.keys()].sort());
      expect(
        new Map(
          [...users].map(([name, user]) => [
            name,
            "password" in user && [
              user.password,
              user.quota_mb,
              Object.keys(user.app_passwords ?? {}).length,
              user.sending_limit?.hour ?? "default",
            ],
          ]),
        ),
      ).toEqual(
        new Map(
          [...activeUsers(model)].map(([name, { password, quota, apps, limit }]) => [
            name,
            [fakeHash(password), quota, apps.length, limit],
          ]),
        ),
      );
      expect(bugs).toEqual([]);
    }),
    { numRuns: 25 },
  );
  // The sequences must have covered every kind of answer, or they prove little.
  expect(answers.size).toBeGreaterThan(15);
});
