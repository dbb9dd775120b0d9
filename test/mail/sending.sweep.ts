/** The attack with a stolen password: as many mails to as many recipients as Postfix takes. */
import { expect, onTestFinished, test } from "vitest";
import { thisMachine } from "../../src/machine/machine.ts";
import { DEFAULT_SENDING_LIMITS } from "../../src/node/sending/limits.ts";
import { PolicyServer } from "../../src/node/sending/policy-server.ts";
import { KnownRecipients } from "../../src/node/sending/recipients.ts";
import { mailDaemons, startMailLab } from "./lab.ts";
import { JAN, STRANGER, USERS } from "./people.ts";
import { TestNode } from "./replica.ts";
import { SmtpClient } from "./smtp.ts";

test.skipIf(!mailDaemons().available)("60 mails to 100 recipients each reach 200 of them", async () => {
  const folders = await TestNode.serving(USERS);
  onTestFinished(() => folders.remove());
  const known = new KnownRecipients({ machine: thisMachine, folder: folders.out, sqlite: "sqlite3" });
  const policy = new PolicyServer({ ...thisMachine, log: () => {} }, DEFAULT_SENDING_LIMITS, known);
  onTestFinished(async () => {
    policy.close();
    await known.close();
  });
  await policy.listen(0);
  const lab = await startMailLab({
    out: folders.out,
    mailRoot: folders.mailRoot,
    policyPort: policy.port ?? 0,
  });
  onTestFinished(() => lab.stop());

  /** Ten mails on one connection. @returns the codes of their ends */
  const attack = async (connection: number): Promise<number[]> => {
    const client = await SmtpClient.open({ port: lab.ports.submission });
    await client.ehlo();
    expect((await client.authPlain(JAN.address, JAN.password)).code).toBe(235);
    const codes: number[] = [];
    for (let mail = 0; mail < 10; mail += 1) {
      await client.mailFrom(JAN.address);
      for (let number = 0; number < 100; number += 1)
        expect((await client.rcptTo(`${connection}.${mail}.${number}.${STRANGER}`)).code).toBe(250);
      codes.push((await client.data("Subject: offer\n\nBuy.\n")).code);
      await client.command("RSET");
    }
    client.close();
    return codes;
  };
  const codes = (await Promise.all([0, 1, 2, 3, 4, 5].map(attack))).flat();
  expect(codes.filter((code) => code === 250)).toHaveLength(2);
  expect(codes.filter((code) => code === 450)).toHaveLength(58);
});
