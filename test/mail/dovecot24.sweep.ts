/** The configuration in deploy/ in Debian 13's daemons. Skipped, with the reason, if they cannot be had. */
import { copyFileSync, mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { newAppPassword } from "../../src/mail/app-password.ts";
import { NO_LOGIN } from "../../src/mail/stored-hash.ts";
import { debian13 } from "./debian13.ts";
import { expectEndOfSession, expectFilters, expectNoForwards } from "./filters.ts";
import { ImapClient } from "./imap.ts";
import { type MailLab, startMailLab } from "./lab.ts";
import { arrives, expectPasswordInsideTlsOnly, expectRoomInTrashAlone } from "./mailbox.ts";
import { ANNA, FULL, JAN, STRANGER } from "./people.ts";
import { run } from "./processes.ts";
import { TestNode } from "./replica.ts";
import { agePostfixFiles, DEPLOY, writePostfixFiles } from "./shipped.ts";
import { SmtpClient, sendMail } from "./smtp.ts";
import { expectUsage } from "./usage.ts";

const debian = await debian13();
if (!debian.available) process.stderr.write(debian.message);

describe.skipIf(!debian.available)("Dovecot 2.4 with the shipped configuration", () => {
  let folders: TestNode;
  let lab: MailLab;

  beforeAll(async () => {
    if (!debian.available) return;
    folders = await TestNode.serving([JAN, ANNA, FULL]);
    lab = await startMailLab({
      out: folders.out,
      mailRoot: folders.mailRoot,
      tls: "shipped",
      dovecot: debian.dovecot,
    });
  });

  afterAll(async () => {
    await lab?.stop();
    await folders?.remove();
  });

  test("a user logs in with the right password and not with a wrong one", async () => {
    const client = await ImapClient.open({ port: lab.ports.imaps, tls: true });
    await expect(client.login(JAN.address, "wrong")).rejects.toThrow("NO [AUTHENTICATIONFAILED]");
    await client.login("Jan@Example.NL", JAN.password);
    await client.logout();
  });

  test("IMAP accepts a password inside TLS only", () => expectPasswordInsideTlsOnly(lab, JAN));

  test("mail to jan and to jan+lists arrives and can be read", async () => {
    for (const to of [JAN.address, "jan+lists@example.nl"]) {
      const message = `Subject: to ${to}\n\ntext\n`;
      expect((await sendMail({ port: lab.ports.smtp }, { from: STRANGER, to, message })).code).toBe(250);
      await arrives(lab, JAN, `to ${to}`);
    }
  });

  test("a user sends after logging in, and only with his own address", async () => {
    const address = { port: lab.ports.submissions, tls: true };
    const login = { user: JAN.address, password: JAN.password };
    expect((await sendMail(address, { from: JAN.address, to: FULL.address, login })).code).toBe(250);
    expect((await sendMail(address, { from: FULL.address, to: JAN.address, login })).code).toBe(553);
  });

  test("a mailbox reports its quota, and mail that would exceed it is refused with 552", async () => {
    const message = `Subject: half\n\n${`${"x".repeat(70)}\n`.repeat(9_000)}`;
    await sendMail({ port: lab.ports.smtp }, { from: STRANGER, to: FULL.address, message });
    await arrives(lab, FULL, "half");
    const imap = await ImapClient.open({ port: lab.ports.imap });
    await imap.login(FULL.address, FULL.password);
    expect(await imap.quota()).toMatchObject({ limit: 1024 });
    await imap.logout();

    for (const size of [message.length, 2_000_000]) {
      const client = await SmtpClient.open({ port: lab.ports.smtp });
      await client.ehlo();
      await client.mailFrom(STRANGER, size);
      expect((await client.rcptTo(FULL.address)).code).toBe(552);
      client.close();
    }
  });

  test("a mail and a login are seen in the list of sizes and last logins", async () => {
    if (debian.available) await expectUsage(debian.dovecot);
  });

  test("a full mailbox can move its mail to Trash by COPY", () => expectRoomInTrashAlone(lab, FULL));

  test("an owner has a filter and a vacation message, and cannot forward", async () => {
    await expectFilters(lab, JAN, ANNA);
    await expectNoForwards(lab, JAN, ANNA);
    await expectEndOfSession(lab, JAN, () => lab.doveadm("kick", JAN.address));
  });

  test("a removed user is disconnected and cannot log in again", async () => {
    const client = await ImapClient.open({ port: lab.ports.imap });
    await client.login(FULL.address, FULL.password);
    await client.select();
    await client.idle();
    await folders.serve([JAN]);
    expect(await lab.doveadm("kick", FULL.address)).toMatchObject({ code: 0 });
    await client.closed();
    const again = await ImapClient.open({ port: lab.ports.imap });
    await expect(again.login(FULL.address, FULL.password)).rejects.toThrow("NO [AUTHENTICATIONFAILED]");
    again.close();
  });

  test("an internationalised domain has both of its names, to IMAP and to submission", async () => {
    const max = { address: "max@xn--mnchen-3ya.example", password: "in both its names" };
    await folders.serve([JAN, max]);
    for (const user of [max.address, "max@münchen.example"]) {
      const client = await ImapClient.open({ port: lab.ports.imaps, tls: true });
      await client.login(user, max.password);
      await client.logout();
      const smtp = await SmtpClient.open({ port: lab.ports.submissions, tls: true });
      await smtp.ehlo();
      expect((await smtp.authPlain(user, max.password)).code).toBe(235);
      await smtp.command(`MAIL FROM:<${user}> SMTPUTF8`);
      expect((await smtp.rcptTo(JAN.address)).code).toBe(250);
      smtp.close();
    }
  });

  test("after a password change an open submission connection sends no more", async () => {
    const smtp = await SmtpClient.open({ port: lab.ports.submissions, tls: true });
    await smtp.ehlo();
    expect((await smtp.authPlain(JAN.address, JAN.password)).code).toBe(235);
    await folders.serve([{ ...JAN, password: "another" }]);
    await smtp.mailFrom(JAN.address);
    expect((await smtp.rcptTo(JAN.address)).code).toBe(553);
    smtp.close();
    await folders.serve([JAN]);
  });

  test("an app password reads and sends, and once it has ended it is refused and its connection sends no more", async () => {
    const { text, selector, hash } = newAppPassword();
    await folders.serve([{ ...JAN, apps: { [selector]: hash } }, FULL]);
    for (const password of [text, JAN.password]) {
      const imap = await ImapClient.open({ port: lab.ports.imaps, tls: true });
      await imap.login(JAN.address, password);
      await imap.logout();
    }
    const login = { user: JAN.address, password: text };
    const address = { port: lab.ports.submissions, tls: true };
    expect((await sendMail(address, { from: JAN.address, to: FULL.address, login })).code).toBe(250);
    expect((await sendMail(address, { from: FULL.address, to: JAN.address, login })).code).toBe(553);
    const smtp = await SmtpClient.open(address);
    await smtp.ehlo();
    expect((await smtp.authPlain(JAN.address, text)).code).toBe(235);
    await folders.serve([JAN, FULL]);
    await smtp.mailFrom(JAN.address);
    expect((await smtp.rcptTo(JAN.address)).code).toBe(553);
    smtp.close();
    const imap = await ImapClient.open({ port: lab.ports.imaps, tls: true });
    await expect(imap.login(JAN.address, text)).rejects.toThrow("NO [AUTHENTICATIONFAILED]");
    imap.close();
    await folders.serve([JAN]);
  });

  test("a login that is off is refused as a wrong password, and mail still arrives", async () => {
    await folders.serve([{ ...JAN, hash: NO_LOGIN }]);
    const client = await ImapClient.open({ port: lab.ports.imaps, tls: true });
    for (const password of [JAN.password, ""]) {
      await expect(client.login(JAN.address, password)).rejects.toThrow("NO [AUTHENTICATIONFAILED]");
    }
    client.close();
    const smtp = await SmtpClient.open({ port: lab.ports.submissions, tls: true });
    await smtp.ehlo();
    expect((await smtp.authPlain(JAN.address, JAN.password)).code).toBe(535);
    smtp.close();
    const message = "Subject: while off\n\ntext\n";
    const sent = await sendMail({ port: lab.ports.smtp }, { from: STRANGER, to: JAN.address, message });
    expect(sent.code).toBe(250);
    await folders.serve([JAN]);
    await arrives(lab, JAN, "while off");
  });

  test.each([
    ["MD5-CRYPT", "$1$DCGN63z1$LhUzk7wgb4rTosHgFt/EC.", "pw-s03.md5crypt-2026"],
    ["SMD5", "WuM0ZHYZXeZGPut0bgWNoEXmA1g=", "pw-s07.smd5-2026"],
    ["LDAP-MD5", "+/HGse+zBGXz5OhkOVcbug==", "pw-s11.ldapmd5-2026"],
    ["PLAIN-MD5", "f173f8c080dabf03ea53d7cb60336963", "pw-s12.plainmd5-2026"],
    ["DES-CRYPT", "ReDwsPYvlvoww", "pw-s18.descrypt-2026"],
  ])(
    "a right password with a %s hash, which only Dovecot 2.3 accepts, is not called wrong over IMAP",
    async (...given) => {
      const [scheme, hash, password] = given;
      await folders.serve([{ ...JAN, hash: `{${scheme}}${hash}` }]);
      const client = await ImapClient.open({ port: lab.ports.imaps, tls: true });
      await expect(client.login(JAN.address, password)).rejects.toThrow("[UNAVAILABLE]");
      client.close();
      const smtp = await SmtpClient.open({ port: lab.ports.submissions, tls: true });
      await smtp.ehlo();
      expect((await smtp.authPlain(JAN.address, password)).code).toBe(535); // Postfix knows no better
      smtp.close();
      await folders.serve([JAN]);
    },
  );

  test("a replica that is not to be believed tells nobody that a password is wrong", async () => {
    folders.sql("logins.db", "UPDATE meta SET ready = 0");
    const client = await ImapClient.open({ port: lab.ports.imaps, tls: true });
    await expect(client.login(JAN.address, JAN.password)).rejects.toThrow("[UNAVAILABLE]");
    await expect(client.login("nobody@example.nl", "any")).rejects.toThrow("[UNAVAILABLE]");
    client.close();
    folders.sql("logins.db", "UPDATE meta SET ready = 1");
  });
});

describe.skipIf(!debian.available)("Debian 13's Postfix", () => {
  test.each(["postfix-main.cf", "postfix-mx.cf"])("knows every setting of %s", async (main) => {
    if (!debian.available) return;
    const folder = mkdtempSync(join(tmpdir(), "m25-postconf-"));
    try {
      mkdirSync(join(folder, "etc"));
      writePostfixFiles(main, join(folder, "etc"));
      agePostfixFiles(join(folder, "etc"));
      const master = main === "postfix-mx.cf" ? "/dev/null" : join(DEPLOY, "postfix-master.cf");
      copyFileSync(master, join(folder, "etc/master.cf"));
      const [program = "", ...enter] = debian.dovecot.enter;
      const { stderr, stdout } = await run(program, ...enter, "postconf", "-c", join(folder, "etc"), "-n");
      expect(stderr).toBe("");
      expect(stdout).toContain("myhostname");
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  });
});
