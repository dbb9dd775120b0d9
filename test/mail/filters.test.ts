/** Filters and vacation messages of owners, with the shipped configuration. */
import { describe, test } from "vitest";
import { deployedDaemons } from "./deployed.ts";
import { expectEndOfSession, expectFilters, expectNoForwards } from "./filters.ts";
import { mailDaemons } from "./lab.ts";
import { ANNA, JAN } from "./people.ts";

const daemons = mailDaemons();
if (!daemons.available) process.stderr.write(daemons.message);

describe.skipIf(!daemons.available)("an owner", () => {
  const node = deployedDaemons();

  test("has a filter and a vacation message", () => expectFilters(node.lab, JAN, ANNA));

  test("cannot forward by a filter", () => expectNoForwards(node.lab, JAN, ANNA));

  test("is disconnected from filters, too, when the login ends", () =>
    expectEndOfSession(node.lab, JAN, () => node.lab.doveadm("kick", JAN.address)));
});
