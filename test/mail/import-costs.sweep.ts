/** Every hash that an import takes is verified by both versions of Dovecot, the costliest too. */
import { test } from "vitest";
import { debian13 } from "./debian13.ts";
import { installedDovecot } from "./dovecot.ts";
import { expectLogins, importSamples } from "./imported.ts";
import { mailDaemons } from "./lab.ts";

const debian = await debian13();
if (!debian.available) process.stderr.write(debian.message);

test.skipIf(!mailDaemons().available)(
  "the people of the samples log in to the installed Dovecot",
  async () => {
    await expectLogins(await importSamples({ dovecot: await installedDovecot() }));
  },
);

test.skipIf(!debian.available)("the people of the samples log in to Dovecot 2.4", async () => {
  if (debian.available) await expectLogins(await importSamples({ dovecot: debian.dovecot }));
});
