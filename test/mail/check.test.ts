/** `m25-mail-node check` beside real daemons with the configuration in deploy/. */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { imapFault, smtpFault, submissionFault } from "../../src/node/setup/ports.ts";
import { type MailLab, mailDaemons, startMailLab } from "./lab.ts";
import { JAN, USERS } from "./people.ts";
import { until } from "./processes.ts";
import { TestNode } from "./replica.ts";

const NAME = "mail.example.nl";

describe.skipIf(!mailDaemons().available)("the check of a node", () => {
  let folders: TestNode;
  let lab: MailLab;

  beforeAll(async () => {
    folders = await TestNode.serving(USERS);
    lab = await startMailLab({ out: folders.out, mailRoot: folders.mailRoot, tls: "shipped" });
  });

  afterAll(async () => {
    await lab?.stop();
    await folders?.remove();
  });

  const smtp = (mailbox: string) => smtpFault({ port: lab.ports.smtp, tls: false }, NAME, mailbox);
  const submission = (tls: boolean) =>
    submissionFault({ port: lab.ports[tls ? "submissions" : "submission"], tls }, NAME);

  test("finds nothing wrong with the shipped configuration", async () => {
    expect(await smtp(JAN.address)).toBeUndefined();
    expect(await submission(false)).toBeUndefined();
    expect(await submission(true)).toBeUndefined();
    expect(await imapFault({ port: lab.ports.imap, tls: false })).toBeUndefined();
    expect(await imapFault({ port: lab.ports.imaps, tls: true })).toBeUndefined();
  });

  test("shows Postfix's answer for a mailbox that it does not take mail for", async () => {
    expect(await smtp("nobody@example.nl")).toMatch(/^550 5\.1\.1 /);
  });

  test("tells that nobody listens", async () => {
    await lab.doveadm("stop");
    await until(
      "IMAP is away",
      async () => (await imapFault({ port: lab.ports.imap, tls: false })) !== undefined,
    );
    expect(await imapFault({ port: lab.ports.imaps, tls: true })).toMatch(/ECONNREFUSED/);
  });
});
