/** `m25-mail-node check` beside real daemons with the configuration in deploy/. */
import { describe, expect, test } from "vitest";
import { imapFault, smtpFault, submissionFault } from "../../src/node/setup/ports.ts";
import { deployedDaemons } from "./deployed.ts";
import { mailDaemons } from "./lab.ts";
import { JAN } from "./people.ts";
import { until } from "./processes.ts";

const NAME = "mail.example.nl";

describe.skipIf(!mailDaemons().available)("the check of a node", () => {
  const node = deployedDaemons({ tls: "shipped" });

  const smtp = (mailbox: string) => smtpFault({ port: node.lab.ports.smtp, tls: false }, NAME, mailbox);
  const submission = (tls: boolean) =>
    submissionFault({ port: node.lab.ports[tls ? "submissions" : "submission"], tls }, NAME);

  test("finds nothing wrong with the shipped configuration", async () => {
    expect(await smtp(JAN.address)).toBeUndefined();
    expect(await submission(false)).toBeUndefined();
    expect(await submission(true)).toBeUndefined();
    expect(await imapFault({ port: node.lab.ports.imap, tls: false })).toBeUndefined();
    expect(await imapFault({ port: node.lab.ports.imaps, tls: true })).toBeUndefined();
  });

  test("shows Postfix's answer for a mailbox that it does not take mail for", async () => {
    expect(await smtp("nobody@example.nl")).toMatch(/^550 5\.1\.1 /);
  });

  test("tells that nobody listens", async () => {
    await node.lab.doveadm("stop");
    await until(
      "IMAP is away",
      async () => (await imapFault({ port: node.lab.ports.imap, tls: false })) !== undefined,
    );
    expect(await imapFault({ port: node.lab.ports.imaps, tls: true })).toMatch(/ECONNREFUSED/);
  });
});
