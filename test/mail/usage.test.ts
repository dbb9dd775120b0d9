import { describe, test } from "vitest";
import { mailDaemons } from "./lab.ts";
import { expectUsage } from "./usage.ts";

const daemons = mailDaemons();

describe.skipIf(!daemons.available)("a node with Dovecot", () => {
  test("a mail and a login are seen in the list of sizes and last logins a day later at most", () =>
    expectUsage());
});
