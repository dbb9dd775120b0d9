/** People whose mailboxes were imported log in with the password that they had. */
import { describe, expect, test } from "vitest";
import { expectLogins, type Imported, importSamples } from "./imported.ts";
import { mailDaemons } from "./lab.ts";

const md5 = ({ mailboxes }: Imported) => mailboxes.find(({ name }) => name === "s03.md5crypt@schema.example");

describe.skipIf(!mailDaemons().available)("the people of the samples", () => {
  test("log in with their passwords, unless the import says that they need a new one", async () => {
    const imported = await importSamples();
    expect(md5(imported)).toMatchObject({ outcome: "new_password" });
    await expectLogins(imported);
  });

  test("keep MD5-CRYPT and its kin too where each mailbox node has Dovecot 2.3", async () => {
    const imported = await importSamples({ nodeFirst: true, dump: "pgsql" });
    expect(md5(imported)).toMatchObject({ outcome: "taken" });
    await expectLogins(imported);
    const { stdout } = await imported.shell("user", "list-weak", "--json");
    for (const scheme of ["s03.md5crypt", "s07.smd5", "s11.ldapmd5", "s12.plainmd5", "s18.descrypt"])
      expect(JSON.parse(stdout).mailboxes).toContainEqual({ email: `${scheme}@schema.example` });
  });
});
