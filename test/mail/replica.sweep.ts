/** The replica in the daemons' hands: what changes counts at once, and no answer is ever wrong. */
import { renameSync, rmSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { ImapClient } from "./imap.ts";
import { type MailLab, mailDaemons, startMailLab } from "./lab.ts";
import { arrives, canLogin } from "./mailbox.ts";
import { ANNA, JAN, STRANGER } from "./people.ts";
import { mustRun, until } from "./processes.ts";
import { TestNode } from "./replica.ts";
import { SmtpClient, sendMail, words } from "./smtp.ts";

const daemons = mailDaemons();

const IDN = "xn--mnchen-3ya.example";
const ELS = { address: "els@new.example", password: "in a new domain" };
const MAX = { address: `max@${IDN}`, password: "in both its names" };

describe.skipIf(!daemons.available)("the daemons ask the replica", () => {
  let node: TestNode;
  let lab: MailLab;

  beforeAll(async () => {
    node = await TestNode.serving([JAN, MAX]);
    lab = await startMailLab({ out: node.out, mailRoot: node.mailRoot });
  });

  afterAll(async () => {
    await lab?.stop();
    await node?.remove();
  });

  const deliver = async (to: string) =>
    (await sendMail({ port: lab.ports.smtp }, { from: STRANGER, to })).code;

  test("a new mailbox, and a new domain, are there with the next question of an open connection", async () => {
    const smtp = await SmtpClient.open({ port: lab.ports.smtp });
    await smtp.ehlo();
    await smtp.mailFrom(STRANGER);
    expect((await smtp.rcptTo(ANNA.address)).code).toBe(550);
    await node.serve([JAN, ANNA, MAX, ELS]);
    expect((await smtp.rcptTo(ANNA.address)).code).toBe(250);
    expect((await smtp.rcptTo(ELS.address)).code).toBe(250);
    smtp.close();
    expect(await canLogin(lab, ANNA)).toBe(true);
  });

  test("a removed mailbox is refused with the next question, and its owner cannot log in", async () => {
    await node.serve([JAN, MAX]);
    expect(await canLogin(lab, ANNA)).toBe(false);
    expect(await deliver(ANNA.address)).toBe(550);
  });

  test("after a password change an open submission connection sends no more", async () => {
    const smtp = await SmtpClient.open({ port: lab.ports.submission });
    await smtp.ehlo();
    expect((await smtp.authPlain(JAN.address, JAN.password)).code).toBe(235);
    const send = async () => {
      await smtp.mailFrom(JAN.address);
      const reply = await smtp.rcptTo(MAX.address);
      await smtp.command("RSET");
      return reply.code;
    };
    expect(await send()).toBe(250);
    await node.serve([{ ...JAN, password: "another" }, MAX]);
    expect(await send()).toBe(553);
    smtp.close();
    await node.serve([JAN, MAX]);
  });

  test.each([IDN, "münchen.example"])(
    "mail and logins by the name %s reach the one mailbox",
    async (domain) => {
      const address = `max@${domain}`;
      const smtp = await SmtpClient.open({ port: lab.ports.smtp });
      await smtp.ehlo();
      expect((await smtp.command(`MAIL FROM:<${STRANGER}> SMTPUTF8`)).code).toBe(250);
      expect(words(await smtp.rcptTo(address))).toMatch(/^250 /);
      expect((await smtp.data(`Subject: to ${domain.length}\n\ntext\n`)).code).toBe(250);
      await smtp.quit();
      await arrives(lab, MAX, `to ${domain.length}`);
      expect(await canLogin(lab, { ...MAX, address })).toBe(true);

      const submission = await SmtpClient.open({ port: lab.ports.submission });
      await submission.ehlo();
      expect((await submission.authPlain(address, MAX.password)).code).toBe(235);
      expect((await submission.command(`MAIL FROM:<${address}> SMTPUTF8`)).code).toBe(250);
      expect(words(await submission.rcptTo(JAN.address))).toMatch(/^250 /);
      submission.close();
      expect((await lab.doveadm("user", "-f", "home", address)).stdout).toMatch(
        /\/vmail\/([0-9a-f]{2})\/\1[0-9a-f]{14}\n$/,
      );
    },
  );

  test("Postfix cannot read the logins, and Dovecot not more than them", async () => {
    const reads = (user: string, file: string) =>
      mustRun(
        "setpriv",
        `--reuid=${user}`,
        `--regid=${user}`,
        "--clear-groups",
        "head",
        "-c1",
        join(node.out, file),
      );
    await expect(reads("postfix", "logins.db")).rejects.toThrow(/Permission denied/);
    await expect(reads("dovecot", "addresses.db")).rejects.toThrow(/Permission denied/);
    await reads("postfix", "addresses.db");
    await reads("dovecot", "logins.db");
  });

  test("without the program, and after the daemons were started anew, all is as it was", async () => {
    await node.close();
    await mustRun("postfix", "-c", lab.postfixConfigDir, "reload");
    await lab.doveadm("reload");
    expect(await deliver(JAN.address)).toBe(250);
    expect(await deliver("nobody@example.nl")).toBe(550);
    await until("Dovecot is back", () => canLogin(lab, JAN));
    expect(await canLogin(lab, { ...JAN, password: "wrong" })).toBe(false);
  });

  test("a replica that is not to be believed tells nobody that a mailbox or a password is wrong", async () => {
    node.sql("logins.db", "UPDATE meta SET ready = 0");
    node.sql("addresses.db", "UPDATE meta SET ready = 0");
    const imap = await ImapClient.open({ port: lab.ports.imap });
    await expect(imap.login(JAN.address, JAN.password)).rejects.toThrow("[UNAVAILABLE]");
    await expect(imap.login("nobody@example.nl", "any")).rejects.toThrow("[UNAVAILABLE]");
    imap.close();
    for (const [port, tls] of [
      [lab.ports.submission, false],
      [lab.ports.submissions, true],
    ] as const)
      await expect(SmtpClient.open({ port, tls })).rejects.toThrow("greeting: 421 4.3.2 ");
    const waiting = ["nobody@example.nl", JAN.address].map(deliver);
    await until("Postfix fails to look up", () => lab.log().includes("integer overflow"));
    node.sql("logins.db", "UPDATE meta SET ready = 1");
    node.sql("addresses.db", "UPDATE meta SET ready = 1");
    const [unknown, known] = await Promise.all(waiting);
    expect([550, 451, 450]).toContain(unknown);
    expect([250, 451, 450]).toContain(known);
    expect(await canLogin(lab, JAN)).toBe(true);
  });

  test("after a change of the schema, in one transaction, the next answers are right or temporary", async () => {
    expect(await deliver(JAN.address)).toBe(250);
    const smtp = await SmtpClient.open({ port: lab.ports.smtp });
    await smtp.ehlo();
    await smtp.mailFrom(STRANGER);
    expect((await smtp.rcptTo(JAN.address)).code).toBe(250);
    for (const [file, view] of [
      ["addresses.db", "postfix_sender"],
      ["logins.db", "dovecot_login"],
    ] as const) {
      const printed = node.sql(file, `SELECT sql FROM sqlite_schema WHERE name = '${view}'`);
      const made = printed.slice(printed.indexOf("CREATE"));
      node.sql(file, `BEGIN IMMEDIATE; DROP VIEW ${view}; ${made}; COMMIT`);
    }
    const code = async (address: string) => (await smtp.rcptTo(address)).code;
    expect([250, 450, 451]).toContain(await code(JAN.address));
    expect([550, 450, 451]).toContain(await code("nobody@example.nl"));
    smtp.close();
    const imap = await ImapClient.open({ port: lab.ports.imap });
    const answer = await imap.login(JAN.address, JAN.password).catch((error: Error) => error.message);
    if (answer !== undefined) expect(answer).toContain("[UNAVAILABLE]");
    imap.close();
    await until("a login", () => canLogin(lab, JAN));
    await until("mail arrives", async () => (await deliver(JAN.address)) === 250);
    expect(await deliver("nobody@example.nl")).toBe(550);
  });

  test.each(["missing", "empty"])("where the logins are %s, a login fails for now", async (how) => {
    const path = join(node.out, "logins.db");
    for (const suffix of ["", "-wal", "-shm"]) renameSync(`${path}${suffix}`, `${path}${suffix}.kept`);
    try {
      if (how === "empty") await mustRun("install", "-m", "0640", "-g", "dovecot", "/dev/null", path);
      await lab.doveadm("reload");
      const imap = await until("Dovecot is back", async () => {
        await ImapClient.open({ port: lab.ports.imap }).then((client) => client.close());
        return true;
      }).then(() => ImapClient.open({ port: lab.ports.imap }));
      await expect(imap.login(JAN.address, JAN.password)).rejects.toThrow("[UNAVAILABLE]");
      imap.close();
    } finally {
      rmSync(path, { force: true });
      for (const suffix of ["", "-wal", "-shm"]) renameSync(`${path}${suffix}.kept`, `${path}${suffix}`);
      await lab.doveadm("reload");
    }
    await until("a login", () => canLogin(lab, JAN));
  });
});
