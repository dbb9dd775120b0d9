import { describe, expect, it } from "vitest";
import { describePlan, planUpdate } from "../../src/agent/plan.ts";
import { hash, stateOf, user } from "./support.ts";

const before = stateOf(
  1,
  ["example.nl", "old.nl"],
  [user("gone@old.nl"), user("jan@example.nl"), user("piet@example.nl"), user("same@example.nl")],
);
const after = stateOf(
  2,
  ["example.nl", "new.nl"],
  [
    user("jan@example.nl", { password: hash("b") }),
    user("new@new.nl"),
    user("piet@example.nl", { quota_mb: 5 }),
    user("same@example.nl"),
  ],
);

describe("the plan", () => {
  it("says in plain lines what is added, changed and removed, and never a hash", () => {
    const lines = [...describePlan(planUpdate([before], after))];
    expect(lines).toEqual([
      "add domain new.nl",
      "add user new@new.nl",
      "change user jan@example.nl: new password",
      "change user piet@example.nl: quota 1024 to 5 MiB",
      "remove user gone@old.nl",
      "remove domain old.nl",
      "end open sessions of gone@old.nl",
      "end open sessions of jan@example.nl",
    ]);
  });

  it("between two equal states there is nothing to do", () => {
    expect([...describePlan(planUpdate([before], before))]).toEqual([]);
  });

  it("an address that was removed and made again between two polls gets a new mailbox, and the old session ends", () => {
    const again = stateOf(2, ["example.nl"], [user("jan@example.nl", { mailbox: "1".repeat(16) })]);
    const plan = planUpdate([stateOf(1, ["example.nl"], [user("jan@example.nl")])], again);
    expect([...describePlan(plan)]).toEqual([
      "change user jan@example.nl: new mailbox",
      "end open sessions of jan@example.nl",
    ]);
  });

  it("after an attempt that stopped half way, whoever either state knew counts", () => {
    const between = stateOf(
      2,
      ["example.nl"],
      [user("jan@example.nl", { password: hash("b") }), user("short@example.nl")],
    );
    const target = stateOf(3, ["example.nl"], [user("jan@example.nl", { password: hash("b") })]);
    const plan = planUpdate([stateOf(1, ["example.nl"], [user("jan@example.nl")]), between], target);
    expect(plan.users.changed).toEqual([{ user: "jan@example.nl", password: true, mailbox: false }]);
    expect(plan.users.removed).toEqual(["short@example.nl"]);
    expect(plan.kicks).toEqual(["jan@example.nl", "short@example.nl"]);
  });
});
