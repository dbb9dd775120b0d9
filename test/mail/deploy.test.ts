/** The configuration in deploy/, in the real daemons. None of our own programs runs here. */
import {
  chmodSync,
  cpSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { ImapClient } from "./imap.ts";
import { type MailLab, type MxLab, mailDaemons, startMailLab, startMxLab } from "./lab.ts";
import { arrives } from "./mailbox.ts";
import { type NodeFolders, nodeFolders, writePostfixMaps, writeUsers } from "./maps.ts";
import { mustRun, run, until } from "./processes.ts";
import { DEPLOY } from "./shipped.ts";
import { SmtpClient, type SmtpReply, sendMail } from "./smtp.ts";

const daemons = mailDaemons();
if (!daemons.available) process.stderr.write(daemons.message);

const JAN = { address: "jan@example.nl", password: "correct horse" };
const ANNA = { address: "anna@example.nl", password: "battery staple" };
const FULL = { address: "full@example.nl", password: "one megabyte", quotaMb: 1 };
const USERS = [JAN, ANNA, FULL];
const ADDRESSES = USERS.map(({ address }) => address);
const STRANGER = "stranger@elsewhere.test";

const jan = { user: JAN.address, password: JAN.password };
const words = (reply: SmtpReply) => reply.lines.join("\n");
const offersAuth = (reply: SmtpReply) => /^250[ -]AUTH\b/m.test(words(reply));

describe.skipIf(!daemons.available)("a mailbox node with the shipped configuration", () => {
  let folders: NodeFolders;
  let lab: MailLab;

  beforeAll(async () => {
    folders = nodeFolders();
    await writeUsers(folders.out, folders.mailRoot, USERS);
    await writePostfixMaps(folders.out, ADDRESSES);
    lab = await startMailLab(folders);
  });

  afterAll(async () => {
    await lab?.stop();
    folders.remove();
  });

  test("a user logs in with the right password, in whatever case the address is typed", async () => {
    for (const address of [JAN.address, "Jan@Example.NL"]) {
      const client = await ImapClient.open({ port: lab.ports.imap });
      await client.login(address, JAN.password);
      await client.logout();
    }
  });

  test("a wrong password and an unknown user are refused alike", async () => {
    const client = await ImapClient.open({ port: lab.ports.imap });
    await expect(client.login(JAN.address, "wrong")).rejects.toThrow("NO [AUTHENTICATIONFAILED]");
    await expect(client.login("nobody@example.nl", JAN.password)).rejects.toThrow(
      "NO [AUTHENTICATIONFAILED]",
    );
    client.close();
  });

  test("mail from outside arrives and can be read", async () => {
    const message = "Subject: hello\n\n.a line that begins with a dot\n";
    expect(
      await sendMail({ port: lab.ports.smtp }, { from: STRANGER, to: JAN.address, message }),
    ).toMatchObject({ code: 250 });
    expect(await arrives(lab, JAN, "hello")).toContain("\r\n.a line that begins with a dot\r\n");
  });

  test("a client that waits in IDLE is told of new mail", async () => {
    const client = await ImapClient.open({ port: lab.ports.imap });
    await client.login(ANNA.address, ANNA.password);
    await client.select();
    await client.idle();
    await sendMail({ port: lab.ports.smtp }, { from: STRANGER, to: ANNA.address });
    expect(await client.next()).toMatch(/^\* \d+ EXISTS$/);
    await client.done();
    await client.logout();
  });

  test("mail to an unknown user of a hosted domain is refused with 550 while the sender is connected", async () => {
    const reply = await sendMail({ port: lab.ports.smtp }, { from: STRANGER, to: "nobody@example.nl" });
    expect(words(reply)).toMatch(/^550 5\.1\.1 .*User unknown in virtual mailbox table$/);
  });

  test("mail to jan+lists arrives in the mailbox of jan", async () => {
    const message = "Subject: plus\n\ntext\n";
    await sendMail({ port: lab.ports.smtp }, { from: STRANGER, to: "Jan+Lists@example.nl", message });
    await arrives(lab, JAN, "plus");
  });

  test("mail to jan+lists while jan is unknown is refused", async () => {
    const reply = await sendMail({ port: lab.ports.smtp }, { from: STRANGER, to: "nobody+lists@example.nl" });
    expect(reply.code).toBe(550);
  });

  test("a user sends as himself and as his own plus address", async () => {
    for (const from of [JAN.address, "JAN+shop@example.nl"]) {
      const message = `Subject: from ${from}\n\ntext\n`;
      const reply = await sendMail(
        { port: lab.ports.submission },
        { from, to: ANNA.address, login: jan, message },
      );
      expect(words(reply)).toMatch(/^250 /);
      await arrives(lab, ANNA, `from ${from}`);
    }
  });

  test("a user sends to the world", async () => {
    const reply = await sendMail(
      { port: lab.ports.submission },
      { from: JAN.address, to: STRANGER, login: jan },
    );
    expect(words(reply)).toMatch(/^250 /);
  });

  test.each([ANNA.address, "anna+shop@example.nl", "nobody@example.nl", STRANGER])(
    "a user cannot send as %s",
    async (from) => {
      const reply = await sendMail({ port: lab.ports.submission }, { from, to: ANNA.address, login: jan });
      expect(words(reply)).toMatch(/^553 5\.7\.1 .*not owned by user jan@example\.nl$/);
    },
  );

  test("a wrong password is refused at submission", async () => {
    const login = { user: JAN.address, password: "wrong" };
    const reply = await sendMail(
      { port: lab.ports.submission },
      { from: JAN.address, to: ANNA.address, login },
    );
    expect(reply.code).toBe(535);
  });

  test("who has not logged in can relay by none of the ports", async () => {
    const relayed = (port: number, tls: boolean) =>
      sendMail({ port, tls }, { from: JAN.address, to: STRANGER });
    expect(words(await relayed(lab.ports.smtp, false))).toMatch(/^554 5\.7\.1 .*Relay access denied$/);
    expect(words(await relayed(lab.ports.submission, false))).toMatch(/^554 5\.7\.1 .*Access denied$/);
    expect(words(await relayed(lab.ports.submissions, true))).toMatch(/^554 5\.7\.1 .*Access denied$/);
  });

  test("who has not logged in cannot even reach a local user by submission", async () => {
    const reply = await sendMail({ port: lab.ports.submission }, { from: JAN.address, to: ANNA.address });
    expect(reply.code).toBe(554);
  });

  test("a mailbox shows its limit, and refuses with 552 what would exceed it", async () => {
    const half = `Subject: half\n\n${"x".repeat(70)}\n`.concat(`${"x".repeat(70)}\n`.repeat(9_000));
    expect(
      await sendMail({ port: lab.ports.smtp }, { from: STRANGER, to: FULL.address, message: half }),
    ).toMatchObject({
      code: 250,
    });
    await arrives(lab, FULL, "half");

    const imap = await ImapClient.open({ port: lab.ports.imap });
    await imap.login(FULL.address, FULL.password);
    expect(await imap.quota()).toMatchObject({ limit: 1024 });
    expect((await imap.quota())?.used).toBeGreaterThan(600);
    await imap.logout();

    for (const [size, to] of [
      [half.length, FULL.address] as const,
      [half.length, "full+more@example.nl"] as const,
    ]) {
      const client = await SmtpClient.open({ port: lab.ports.smtp });
      await client.ehlo();
      await client.mailFrom(STRANGER, size);
      expect(words(await client.rcptTo(to))).toMatch(/^552 5\.2\.2 .*Mailbox is full$/);
      expect((await client.rcptTo(JAN.address)).code).toBe(250);
      client.close();
    }
  });

  test("a message larger than the whole mailbox is refused with 552", async () => {
    const client = await SmtpClient.open({ port: lab.ports.smtp });
    await client.ehlo();
    await client.mailFrom(STRANGER, 2_000_000);
    expect((await client.rcptTo(FULL.address)).code).toBe(552);
    client.close();
  });

  test("mail for a mailbox that Dovecot does not know yet waits, and arrives once it does", async () => {
    const late = { address: "late@example.nl", password: "soon there" };
    await writePostfixMaps(folders.out, [...ADDRESSES, late.address]);
    const message = "Subject: early\n\ntext\n";
    const reply = await sendMail({ port: lab.ports.smtp }, { from: STRANGER, to: late.address, message });
    expect(reply.code).toBe(250);
    await until("the mail waits", async () =>
      (await lab.queue()).some(
        ({ address, reason }) => address === late.address && reason.includes("not provisioned yet"),
      ),
    );
    await writeUsers(folders.out, folders.mailRoot, [...USERS, late]);
    await until("Dovecot knows the user", async () => (await lab.doveadm("user", late.address)).code === 0);
    await lab.flushQueue();
    await arrives(lab, late, "early");
    // Postfix takes the mail out of its queue a moment after Dovecot has it.
    await until("the queue is empty", async () => (await lab.queue()).length === 0);
  });

  test("what the service unit leaves of root suffices to end a session and to write the maps", async () => {
    const unit = readFileSync(join(DEPLOY, "m25-mail-node.service"), "utf8");
    const capabilities = /^CapabilityBoundingSet=(.*)$/m
      .exec(unit)?.[1]
      ?.toLowerCase()
      .replaceAll("cap_", "+")
      .replaceAll(" ", ",");
    const confined = ["setpriv", `--bounding-set=-all,${capabilities}`, "--no-new-privs", "env"] as const;

    const client = await ImapClient.open({ port: lab.ports.imap });
    await client.login(JAN.address, JAN.password);
    await client.select();
    await client.idle();
    expect(await mustRun(...confined, "doveadm", "-c", lab.dovecotConfig, "who", "-1")).toContain(
      JAN.address,
    );
    await mustRun(...confined, "doveadm", "-c", lab.dovecotConfig, "kick", JAN.address);
    await client.closed();

    const scratch = join(folders.out, "scratch");
    await mustRun(
      ...confined,
      "sh",
      "-c",
      `touch ${scratch} && chown root:dovecot ${scratch} && mv ${scratch} ${scratch}.moved`,
    );
    await mustRun(...confined, "postmap", "-c", lab.postfixConfigDir, `lmdb:${join(folders.out, "domains")}`);
  });
});

describe.skipIf(!daemons.available)("passwords in the shipped configuration", () => {
  let folders: NodeFolders;
  let lab: MailLab;

  beforeAll(async () => {
    folders = nodeFolders();
    await writeUsers(folders.out, folders.mailRoot, USERS);
    await writePostfixMaps(folders.out, ADDRESSES);
    lab = await startMailLab({ ...folders, tls: "shipped" });
  });

  afterAll(async () => {
    await lab?.stop();
    folders?.remove();
  });

  test("port 25 never takes a password, inside TLS neither", async () => {
    const client = await SmtpClient.open({ port: lab.ports.smtp });
    expect(offersAuth(await client.ehlo())).toBe(false);
    expect((await client.startTls()).code).toBe(220);
    expect(offersAuth(await client.ehlo())).toBe(false);
    expect((await client.authPlain(JAN.address, JAN.password)).code).toBe(503);
    client.close();
  });

  test("port 587 takes a password inside TLS only", async () => {
    const client = await SmtpClient.open({ port: lab.ports.submission });
    expect(offersAuth(await client.ehlo())).toBe(false);
    expect(words(await client.authPlain(JAN.address, JAN.password))).toMatch(/^530 5\.7\.0 .*STARTTLS/);
    expect((await client.mailFrom(JAN.address)).code).toBe(530);
    await client.startTls();
    expect(offersAuth(await client.ehlo())).toBe(true);
    expect((await client.authPlain(JAN.address, "wrong")).code).toBe(535);
    expect((await client.authPlain(JAN.address, JAN.password)).code).toBe(235);
    await client.quit();
  });

  test("port 465 takes a password, being inside TLS from the first byte", async () => {
    const address = { port: lab.ports.submissions, tls: true };
    expect((await sendMail(address, { from: JAN.address, to: ANNA.address, login: jan })).code).toBe(250);
  });

  test("IMAP takes a password inside TLS only", async () => {
    // From another address than the server's: Dovecot needs no TLS between equal ones.
    const client = await ImapClient.open({ port: lab.ports.imap, localAddress: "127.0.0.2" });
    expect(await client.capabilities()).toContain("LOGINDISABLED");
    await expect(client.login(JAN.address, JAN.password)).rejects.toThrow("NO [PRIVACYREQUIRED]");
    await client.startTls();
    await client.login(JAN.address, JAN.password);
    await client.logout();
  });

  test("the IMAP port that is TLS from the first byte takes a password", async () => {
    const client = await ImapClient.open({ port: lab.ports.imaps, localAddress: "127.0.0.2", tls: true });
    await client.login(JAN.address, JAN.password);
    await client.logout();
  });
});

describe.skipIf(!daemons.available)("an MX-only node", () => {
  let folders: NodeFolders;
  let mxFolders: NodeFolders;
  const ahead = ["late@example.nl", "jan@new-domain.test"];
  let lab: MailLab;
  let mx: MxLab;

  beforeAll(async () => {
    folders = nodeFolders();
    await writeUsers(folders.out, folders.mailRoot, USERS);
    await writePostfixMaps(folders.out, ADDRESSES);
    mxFolders = nodeFolders();
    await writePostfixMaps(mxFolders.out, [...ADDRESSES, ...ahead]);
    lab = await startMailLab({ ...folders, tls: "shipped" });
    mx = await startMxLab({ out: mxFolders.out, relayPort: lab.ports.smtp });
  });

  afterAll(async () => {
    await mx?.stop();
    await lab?.stop();
    folders.remove();
    mxFolders?.remove();
  });

  test("mail for a known user, and for a plus address, reaches the mailbox node", async () => {
    for (const to of [JAN.address, "jan+lists@example.nl"]) {
      const message = `Subject: by way of the MX to ${to}\n\ntext\n`;
      expect((await sendMail({ port: mx.ports.smtp }, { from: STRANGER, to, message })).code).toBe(250);
      await arrives(lab, JAN, `by way of the MX to ${to}`);
    }
  });

  test("an unknown user, and a domain that is not ours, are refused at once", async () => {
    const unknown = await sendMail({ port: mx.ports.smtp }, { from: STRANGER, to: "nobody@example.nl" });
    expect(words(unknown)).toMatch(/^550 5\.1\.1 .*User unknown in relay recipient table$/);
    const foreign = await sendMail({ port: mx.ports.smtp }, { from: STRANGER, to: "someone@elsewhere.test" });
    expect(words(foreign)).toMatch(/^554 5\.7\.1 .*Relay access denied$/);
  });

  test("no password is taken", async () => {
    const client = await SmtpClient.open({ port: mx.ports.smtp });
    expect(offersAuth(await client.ehlo())).toBe(false);
    client.close();
  });

  test.each(ahead)(
    "mail for %s, which the mailbox node does not know yet, waits and then arrives",
    async (to) => {
      const message = `Subject: ahead of ${to}\n\ntext\n`;
      expect((await sendMail({ port: mx.ports.smtp }, { from: STRANGER, to, message })).code).toBe(250);
      await until("the mail waits", async () =>
        (await mx.queue()).some(
          ({ address, reason }) => address === to && reason.includes("not provisioned yet"),
        ),
      );
      const user = { address: to, password: "known at last" };
      await writeUsers(folders.out, folders.mailRoot, [...USERS, user]);
      await until("Dovecot knows the user", async () => (await lab.doveadm("user", to)).code === 0);
      await writePostfixMaps(folders.out, [...ADDRESSES, to]);
      // smtpd remembers for about half a minute that a domain is not ours, which is too long for a test.
      await mustRun("postfix", "-c", lab.postfixConfigDir, "reload");
      await mx.flushQueue();
      await arrives(lab, user, `ahead of ${to}`);
    },
  );
});

describe.skipIf(!daemons.available)("outages", () => {
  test("while Dovecot is away mail is accepted and waits, and nobody is told that a password is wrong", async () => {
    const folders = nodeFolders();
    await writeUsers(folders.out, folders.mailRoot, USERS);
    await writePostfixMaps(folders.out, ADDRESSES);
    const lab = await startMailLab(folders);
    try {
      await lab.doveadm("stop");
      expect((await sendMail({ port: lab.ports.smtp }, { from: STRANGER, to: JAN.address })).code).toBe(250);
      await until("the mail waits", async () =>
        (await lab.queue()).some(({ address }) => address === JAN.address),
      );
      const unknown = await sendMail({ port: lab.ports.smtp }, { from: STRANGER, to: "nobody@example.nl" });
      expect(unknown.code).toBe(550);
      // Without Dovecot Postfix's submission ends before its greeting, which mail programs take as temporary.
      const submission = sendMail(
        { port: lab.ports.submission },
        { from: JAN.address, to: ANNA.address, login: jan },
      );
      await expect(submission).rejects.toThrow("the server closed the connection");
    } finally {
      await lab.stop();
      folders.remove();
    }
  });

  test("before m25-mail-node has first written its maps, mail is asked to come again and not refused", async () => {
    const folders = nodeFolders();
    const lab = await startMailLab(folders);
    try {
      const reply = await sendMail({ port: lab.ports.smtp }, { from: STRANGER, to: JAN.address });
      expect(words(reply)).toMatch(/^4\d\d /);
    } finally {
      await lab.stop();
      folders.remove();
    }
  });
});

describe.skipIf(!daemons.available)("the shipped files, untouched", () => {
  test.each(["postfix-main.cf", "postfix-mx.cf"])("Postfix understands every setting of %s", async (main) => {
    const folder = mkdtempSync(join(tmpdir(), "m25-postconf-"));
    try {
      cpSync(join(DEPLOY, main), join(folder, "main.cf"));
      // Else postconf dozes until the file is two seconds old.
      utimesSync(join(folder, "main.cf"), 1, 1);
      const debian = readFileSync("/usr/share/postfix/master.cf.dist", "utf8");
      writeFileSync(
        join(folder, "master.cf"),
        debian + readFileSync(join(DEPLOY, "postfix-master.cf"), "utf8"),
      );
      expect(await run("postconf", "-c", folder, "-n")).toMatchObject({ code: 0, stderr: "" });
      const services = await mustRun("postconf", "-c", folder, "-M");
      expect(services).toMatch(/^submissions +inet +n +- +y /m);
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  });
});

const systemd = process.platform === "linux" && (await run("systemd-analyze", "--version")).code === 0;
if (!systemd)
  process.stderr.write("The systemd units are not checked: no systemd-analyze. apt-get install -y systemd\n");

describe.skipIf(!systemd)("the systemd units", () => {
  const units = [
    "m25-mail.service",
    "m25-mail-node.service",
    "m25-mail-node-once.service",
    "m25-mail-node-once.timer",
  ];
  const root = mkdtempSync(join(tmpdir(), "m25-units-"));

  beforeAll(() => {
    // systemd's own units, which ours name; and the programs, which are not installed here.
    cpSync("/usr/lib/systemd/system", join(root, "usr/lib/systemd/system"), {
      recursive: true,
      verbatimSymlinks: true,
    });
    mkdirSync(join(root, "etc/systemd/system"), { recursive: true });
    mkdirSync(join(root, "usr/local/bin"), { recursive: true });
    for (const program of ["m25-mail", "m25-mail-node"]) {
      writeFileSync(join(root, "usr/local/bin", program), "#!/bin/sh\n");
      chmodSync(join(root, "usr/local/bin", program), 0o755);
    }
    for (const unit of units) cpSync(join(DEPLOY, unit), join(root, "etc/systemd/system", unit));
  });

  afterAll(() => rmSync(root, { recursive: true, force: true }));

  const verify = (...names: readonly string[]) =>
    run("systemd-analyze", "verify", `--root=${root}`, "--man=no", ...names);

  test("systemd-analyze verify has nothing to say about them", async () => {
    expect(await verify(...units)).toEqual({ code: 0, stdout: "", stderr: "" });
  });

  test("systemd-analyze verify would notice a setting that does not exist", async () => {
    const unit = readFileSync(join(DEPLOY, "m25-mail.service"), "utf8").replace(
      "PrivateTmp=",
      "PrivateTemp=",
    );
    writeFileSync(join(root, "etc/systemd/system/misspelt.service"), unit);
    expect((await verify("misspelt.service")).stderr).toContain("PrivateTemp");
  });

  test("the users and the folder of the mail are made as the configuration expects them", async () => {
    const install = (folder: string, name: string, as: string) =>
      cpSync(join(DEPLOY, name), join(root, `usr/lib/${folder}`, as), { recursive: true });
    install("sysusers.d", "m25-mail.sysusers.conf", "m25-mail.conf");
    install("sysusers.d", "m25-mail-node.sysusers.conf", "m25-mail-node.conf");
    install("tmpfiles.d", "m25-mail-node.tmpfiles.conf", "m25-mail-node.conf");
    await mustRun("systemd-sysusers", `--root=${root}`, "m25-mail.conf", "m25-mail-node.conf");
    expect(readFileSync(join(root, "etc/passwd"), "utf8")).toMatch(/^vmail:x:5000:5000:/m);
    expect(readFileSync(join(root, "etc/passwd"), "utf8")).toMatch(/^m25-mail:x:/m);
    if (process.getuid?.() !== 0) return;
    await mustRun("systemd-tmpfiles", `--root=${root}`, "--create", "m25-mail-node.conf");
    expect((await mustRun("stat", "-c", "%u:%g %a", join(root, "var/vmail"))).trim()).toBe("5000:5000 750");
  });
});
