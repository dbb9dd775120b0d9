/** What owners can do with ManageSieve, and what not, on both versions of Dovecot. */
import { expect } from "vitest";
import { ImapClient } from "./imap.ts";
import type { MailLab } from "./lab.ts";
import { arrives, type Login } from "./mailbox.ts";
import { until } from "./processes.ts";
import { SieveClient } from "./sieve.ts";
import { sendMail } from "./smtp.ts";

async function filter(lab: MailLab, { address, password }: Login, script: string): Promise<void> {
  const client = await SieveClient.open(lab.ports.sieve);
  try {
    await client.login(address, password);
    await client.activate(script);
  } finally {
    client.close();
  }
}

async function mail(lab: MailLab, from: string, to: Login, subject: string): Promise<void> {
  const message = `From: <${from}>\nTo: <${to.address}>\nSubject: ${subject}\n\ntext\n`;
  expect(await sendMail({ port: lab.ports.smtp }, { from, to: to.address, message })).toMatchObject({
    code: 250,
  });
}

/** The owner's vacation message goes to who wrote, and a filter chooses the folder. */
export async function expectFilters(lab: MailLab, owner: Login, writer: Login): Promise<void> {
  await expect(filter(lab, { ...owner, password: "wrong" }, "keep;")).rejects.toThrow("NO");
  await filter(
    lab,
    owner,
    `require ["vacation", "fileinto"];
     if header :contains "Subject" "offer" { fileinto "Junk"; stop; }
     vacation :subject "away until Monday" "I am away.";`,
  );
  await mail(lab, writer.address, owner, "a question");
  await arrives(lab, owner, "a question");
  const answer = await arrives(lab, writer, "away until Monday");
  expect(answer).toMatch(/^Auto-Submitted: auto-replied/m);
  expect(answer).toContain(`From: <${owner.address}>`);
  await mail(lab, writer.address, owner, "an offer");
  await until("it is in Junk", async () => {
    const imap = await ImapClient.open({ port: lab.ports.imap });
    await imap.login(owner.address, owner.password);
    const count = await imap.select("Junk");
    await imap.logout();
    return count === 1;
  });
}

/** A filter cannot send a mail on: it stays, and the other address gets nothing. */
export async function expectNoForwards(lab: MailLab, owner: Login, other: Login): Promise<void> {
  for (const extension of ["enotify", "reject", "ereject"])
    await expect(filter(lab, owner, `require "${extension}"; keep;`)).rejects.toThrow(extension);
  const script = `redirect "${other.address}";`;
  await filter(lab, owner, script).catch(({ message }) => expect(message).toMatch(/redirect/i));
  await mail(lab, "stranger@elsewhere.test", owner, "not to be sent on");
  await arrives(lab, owner, "not to be sent on");
  await mail(lab, "stranger@elsewhere.test", other, "the last one");
  await arrives(lab, other, "the last one");
  await expect(arrives(lab, other, "not to be sent on", 1)).rejects.toThrow("in vain");
}

/** A connection ends with the login. */
export async function expectEndOfSession(
  lab: MailLab,
  owner: Login,
  end: () => Promise<unknown>,
): Promise<void> {
  const client = await SieveClient.open(lab.ports.sieve);
  await client.login(owner.address, owner.password);
  await end();
  await client.closed();
}
