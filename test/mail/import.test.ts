/** People whose mailboxes were imported log in with the password that they had. */
import { describe, test } from "vitest";
import { expectLogins, importSamples } from "./imported.ts";
import { mailDaemons } from "./lab.ts";

describe.skipIf(!mailDaemons().available)("the people of the samples", () => {
  test("log in with their passwords, unless the import says that they need a new one", async () => {
    await expectLogins(await importSamples());
  });
});
