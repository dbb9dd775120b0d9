/** The configuration in deploy/ in Debian 13's daemons. Skipped, with the reason, if they cannot be had. */
import { copyFileSync, mkdirSync, mkdtempSync, rmSync, utimesSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { debian13 } from "./debian13.ts";
import { ImapClient } from "./imap.ts";
import { type MailLab, startMailLab } from "./lab.ts";
import { arrives, expectPasswordInsideTlsOnly } from "./mailbox.ts";
import { foldersFor, type NodeFolders, writeUsers } from "./maps.ts";
import { FULL, JAN, STRANGER } from "./people.ts";
import { run, until } from "./processes.ts";
import { DEPLOY } from "./shipped.ts";
import { SmtpClient, sendMail } from "./smtp.ts";

const debian = await debian13();
if (!debian.available) process.stderr.write(debian.message);

describe.skipIf(!debian.available)("Dovecot 2.4 with the shipped configuration", () => {
  let folders: NodeFolders;
  let lab: MailLab;

  beforeAll(async () => {
    if (!debian.available) return;
    folders = await foldersFor([JAN, FULL]);
    lab = await startMailLab({ ...folders, tls: "shipped", dovecot: debian.dovecot });
  });

  afterAll(async () => {
    await lab?.stop();
    folders?.remove();
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

  test("a removed user is disconnected and cannot log in again", async () => {
    const client = await ImapClient.open({ port: lab.ports.imap });
    await client.login(FULL.address, FULL.password);
    await client.select();
    await client.idle();
    await writeUsers(folders.out, folders.mailRoot, [JAN]);
    await until("Dovecot has forgotten the user", async () => {
      return (await lab.doveadm("user", FULL.address)).code !== 0;
    });
    expect(await lab.doveadm("kick", FULL.address)).toMatchObject({ code: 0 });
    await client.closed();
    const again = await ImapClient.open({ port: lab.ports.imap });
    await expect(again.login(FULL.address, FULL.password)).rejects.toThrow("NO [AUTHENTICATIONFAILED]");
    again.close();
  });
});

describe.skipIf(!debian.available)("Debian 13's Postfix", () => {
  test.each(["postfix-main.cf", "postfix-mx.cf"])("knows every setting of %s", async (main) => {
    if (!debian.available) return;
    const folder = mkdtempSync(join(tmpdir(), "m25-postconf-"));
    try {
      mkdirSync(join(folder, "etc"));
      copyFileSync(join(DEPLOY, main), join(folder, "etc/main.cf"));
      // Else postconf waits until the file is two seconds old.
      utimesSync(join(folder, "etc/main.cf"), 1, 1);
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
