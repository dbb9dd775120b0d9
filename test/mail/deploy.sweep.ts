/** The configuration in deploy/ for a mailbox node, in the real daemons. Our own program makes the replica and does not run. */
import { readFileSync, utimesSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { deployedDaemons } from "./deployed.ts";
import { ImapClient } from "./imap.ts";
import { mailDaemons, startMailLab } from "./lab.ts";
import { arrives, expectPasswordInsideTlsOnly, expectRoomInTrashAlone, inbox } from "./mailbox.ts";
import { ANNA, FULL, JAN, STRANGER, USERS } from "./people.ts";
import { mustRun, until } from "./processes.ts";
import { TestNode } from "./replica.ts";
import { DEPLOY } from "./shipped.ts";
import { offersAuth, SmtpClient, sendMail, words } from "./smtp.ts";

const daemons = mailDaemons();
if (!daemons.available) process.stderr.write(daemons.message);

const jan = { user: JAN.address, password: JAN.password };

describe.skipIf(!daemons.available)("a mailbox node with the shipped configuration", () => {
  const node = deployedDaemons();

  test("a user logs in with the right password and any case of the address", async () => {
    for (const address of [JAN.address, "Jan@Example.NL"]) {
      const client = await ImapClient.open({ port: node.lab.ports.imap });
      await client.login(address, JAN.password);
      await client.logout();
    }
  });

  test("a wrong password and an unknown user get the same refusal", async () => {
    const client = await ImapClient.open({ port: node.lab.ports.imap });
    await expect(client.login(JAN.address, "wrong")).rejects.toThrow("NO [AUTHENTICATIONFAILED]");
    await expect(client.login("nobody@example.nl", JAN.password)).rejects.toThrow(
      "NO [AUTHENTICATIONFAILED]",
    );
    client.close();
  });

  test("mail from outside arrives and can be read", async () => {
    const message = "Subject: hello\n\n.a line that begins with a dot\n";
    expect(
      await sendMail({ port: node.lab.ports.smtp }, { from: STRANGER, to: JAN.address, message }),
    ).toMatchObject({ code: 250 });
    expect(await arrives(node.lab, JAN, "hello")).toContain("\r\n.a line that begins with a dot\r\n");
  });

  test("a mail with 15 MB of attachments arrives", async () => {
    const message = `Subject: large\n\n${`${"x".repeat(75)}\n`.repeat(200_000)}`;
    expect(
      await sendMail({ port: node.lab.ports.smtp }, { from: STRANGER, to: ANNA.address, message }),
    ).toMatchObject({ code: 250 });
    expect((await arrives(node.lab, ANNA, "large")).length).toBeGreaterThan(15_000_000);
  });

  test("a sender that sends no HELO is refused", async () => {
    const client = await SmtpClient.open({ port: node.lab.ports.smtp });
    expect(words(await client.mailFrom(STRANGER))).toMatch(/^503 5\.5\.1 .*send HELO\/EHLO first$/);
    client.close();
  });

  test("a sender that does not wait for replies is refused", async () => {
    const client = await SmtpClient.open({ port: node.lab.ports.smtp });
    const reply = await client.command(`EHLO client.test\r\nMAIL FROM:<${STRANGER}>`);
    expect(words(reply)).toMatch(/^554 5\.5\.0 .*SMTP protocol synchronization$/);
    client.close();
  });

  test("a client in IDLE is told of new mail", async () => {
    const client = await ImapClient.open({ port: node.lab.ports.imap });
    await client.login(ANNA.address, ANNA.password);
    await client.select();
    await client.idle();
    await sendMail({ port: node.lab.ports.smtp }, { from: STRANGER, to: ANNA.address });
    expect(await client.next()).toMatch(/^\* \d+ EXISTS$/);
    await client.done();
    await client.logout();
  });

  test("mail to an unknown user of a hosted domain is refused with 550 during the connection", async () => {
    const reply = await sendMail({ port: node.lab.ports.smtp }, { from: STRANGER, to: "nobody@example.nl" });
    expect(words(reply)).toMatch(/^550 5\.1\.1 .*User unknown in virtual mailbox table$/);
  });

  test("mail to jan+lists arrives in the mailbox of jan", async () => {
    const message = "Subject: plus\n\ntext\n";
    await sendMail({ port: node.lab.ports.smtp }, { from: STRANGER, to: "Jan+Lists@example.nl", message });
    await arrives(node.lab, JAN, "plus");
  });

  test("mail to jan+lists is refused while jan is unknown", async () => {
    const reply = await sendMail(
      { port: node.lab.ports.smtp },
      { from: STRANGER, to: "nobody+lists@example.nl" },
    );
    expect(reply.code).toBe(550);
  });

  test("a user sends with his own address and his own plus address", async () => {
    for (const from of [JAN.address, "JAN+shop@example.nl"]) {
      const message = `Subject: from ${from}\n\ntext\n`;
      const reply = await sendMail(
        { port: node.lab.ports.submission },
        { from, to: ANNA.address, login: jan, message },
      );
      expect(words(reply)).toMatch(/^250 /);
      await arrives(node.lab, ANNA, `from ${from}`);
    }
  });

  test("a user sends to other domains", async () => {
    const reply = await sendMail(
      { port: node.lab.ports.submission },
      { from: JAN.address, to: STRANGER, login: jan },
    );
    expect(words(reply)).toMatch(/^250 /);
  });

  test.each([ANNA.address, "anna+shop@example.nl", "nobody@example.nl", STRANGER])(
    "a user cannot send as %s",
    async (from) => {
      const reply = await sendMail(
        { port: node.lab.ports.submission },
        { from, to: ANNA.address, login: jan },
      );
      expect(words(reply)).toMatch(/^553 5\.7\.1 .*not owned by user jan@example\.nl#\d+$/);
    },
  );

  test.each(["submission", "submissions"] as const)(
    "a user cannot send with an empty sender by %s",
    async (service) => {
      const address = { port: node.lab.ports[service], tls: service === "submissions" };
      const reply = await sendMail(address, { from: "", to: ANNA.address, login: jan });
      expect(words(reply)).toMatch(
        /^554 5\.7\.1 <>: Sender address rejected: an empty sender is not for users$/,
      );
    },
  );

  test("a bounce from outside, which has no sender, arrives", async () => {
    const message = "Subject: bounce\n\ntext\n";
    expect((await sendMail({ port: node.lab.ports.smtp }, { from: "", to: JAN.address, message })).code).toBe(
      250,
    );
    await arrives(node.lab, JAN, "bounce");
  });

  test("a wrong password is refused at submission", async () => {
    const login = { user: JAN.address, password: "wrong" };
    const reply = await sendMail(
      { port: node.lab.ports.submission },
      { from: JAN.address, to: ANNA.address, login },
    );
    expect(reply.code).toBe(535);
  });

  test("nobody relays without a log-in, on any port", async () => {
    const relayed = (port: number, tls: boolean) =>
      sendMail({ port, tls }, { from: JAN.address, to: STRANGER });
    expect(words(await relayed(node.lab.ports.smtp, false))).toMatch(/^554 5\.7\.1 .*Relay access denied$/);
    expect(words(await relayed(node.lab.ports.submission, false))).toMatch(/^554 5\.7\.1 .*Access denied$/);
    expect(words(await relayed(node.lab.ports.submissions, true))).toMatch(/^554 5\.7\.1 .*Access denied$/);
  });

  test("nobody sends through submission without a log-in, not even to a local user", async () => {
    const reply = await sendMail(
      { port: node.lab.ports.submission },
      { from: JAN.address, to: ANNA.address },
    );
    expect(reply.code).toBe(554);
  });

  test("a mailbox reports its quota, and mail that would exceed it is refused with 552", async () => {
    const half = `Subject: half\n\n${"x".repeat(70)}\n`.concat(`${"x".repeat(70)}\n`.repeat(9_000));
    expect(
      await sendMail({ port: node.lab.ports.smtp }, { from: STRANGER, to: FULL.address, message: half }),
    ).toMatchObject({
      code: 250,
    });
    await arrives(node.lab, FULL, "half");

    const imap = await ImapClient.open({ port: node.lab.ports.imap });
    await imap.login(FULL.address, FULL.password);
    expect(await imap.quota()).toMatchObject({ limit: 1024 });
    expect((await imap.quota())?.used).toBeGreaterThan(600);
    await imap.logout();

    for (const [size, to] of [
      [half.length, FULL.address] as const,
      [half.length, "full+more@example.nl"] as const,
    ]) {
      const client = await SmtpClient.open({ port: node.lab.ports.smtp });
      await client.ehlo();
      await client.mailFrom(STRANGER, size);
      expect(words(await client.rcptTo(to))).toMatch(/^552 5\.2\.2 .*Mailbox is full$/);
      expect((await client.rcptTo(JAN.address)).code).toBe(250);
      client.close();
    }
  });

  test("a full mailbox can move its mail to Trash by COPY", () => expectRoomInTrashAlone(node.lab, FULL));

  test("a message larger than the mailbox's quota is refused with 552", async () => {
    const client = await SmtpClient.open({ port: node.lab.ports.smtp });
    await client.ehlo();
    await client.mailFrom(STRANGER, 2_000_000);
    expect((await client.rcptTo(FULL.address)).code).toBe(552);
    client.close();
  });

  test("mail for a mailbox that Dovecot does not know yet waits, and arrives later", async () => {
    const late = { address: "late@example.nl", password: "soon there" };
    node.folders.addAddress(late.address);
    const message = "Subject: early\n\ntext\n";
    const reply = await sendMail(
      { port: node.lab.ports.smtp },
      { from: STRANGER, to: late.address, message },
    );
    expect(reply.code).toBe(250);
    await until("the mail waits", async () =>
      (await node.lab.queue()).some(
        ({ address, reason }) => address === late.address && reason.includes("not provisioned yet"),
      ),
    );
    await node.folders.serve([...USERS, late]);
    await node.lab.flushQueue();
    await arrives(node.lab, late, "early");
    // Postfix removes the mail from its queue a moment after Dovecot has it.
    await until("the queue is empty", async () => (await node.lab.queue()).length === 0);
  });

  test("a sender is told after an hour that the mail is still waiting", async () => {
    const setting = (...args: readonly string[]) =>
      mustRun("postconf", "-c", node.lab.postfixConfigDir, ...args);
    expect((await setting("-xh", "delay_warning_time")).trim()).toBe("1h");
    // One second in place of the hour.
    await setting("-e", "delay_warning_time=1s");
    utimesSync(join(node.lab.postfixConfigDir, "main.cf"), 1, 1);
    await mustRun("postfix", "-c", node.lab.postfixConfigDir, "reload");
    const typo = "jna@example.nl";
    node.folders.addAddress(typo);
    await sendMail({ port: node.lab.ports.submission }, { from: JAN.address, to: typo, login: jan });
    const told = async () => {
      await node.lab.flushQueue();
      return (await inbox(node.lab, JAN)).some((mail) => /^Subject: Delayed Mail/m.test(mail));
    };
    await until("the sender is told", told);
  });

  test("what the service unit leaves of root suffices to end a session and to give files to the daemons", async () => {
    const unit = readFileSync(join(DEPLOY, "m25-mail-node.service"), "utf8");
    const capabilities = /^CapabilityBoundingSet=(.*)$/m
      .exec(unit)?.[1]
      ?.toLowerCase()
      .replaceAll("cap_", "+")
      .replaceAll(" ", ",");
    const confined = ["setpriv", `--bounding-set=-all,${capabilities}`, "--no-new-privs", "env"] as const;

    const client = await ImapClient.open({ port: node.lab.ports.imap });
    await client.login(JAN.address, JAN.password);
    await client.select();
    await client.idle();
    expect(await mustRun(...confined, "doveadm", "-c", node.lab.dovecotConfig, "who", "-1")).toContain(
      JAN.address,
    );
    await mustRun(...confined, "doveadm", "-c", node.lab.dovecotConfig, "kick", JAN.address);
    await client.closed();

    const scratch = join(node.folders.out, "scratch");
    await mustRun(
      ...confined,
      "sh",
      "-c",
      `touch ${scratch} && chown root:dovecot ${scratch} && chown root:postfix ${scratch}`,
    );
  });
});

describe.skipIf(!daemons.available)("passwords in the shipped configuration", () => {
  const node = deployedDaemons({ tls: "shipped" });

  test("port 25 never accepts a password, not even inside TLS", async () => {
    const client = await SmtpClient.open({ port: node.lab.ports.smtp });
    expect(offersAuth(await client.ehlo())).toBe(false);
    expect((await client.startTls()).code).toBe(220);
    expect(offersAuth(await client.ehlo())).toBe(false);
    expect((await client.authPlain(JAN.address, JAN.password)).code).toBe(503);
    client.close();
  });

  test("port 587 accepts a password inside TLS only", async () => {
    const client = await SmtpClient.open({ port: node.lab.ports.submission });
    expect(offersAuth(await client.ehlo())).toBe(false);
    expect(words(await client.authPlain(JAN.address, JAN.password))).toMatch(/^530 5\.7\.0 .*STARTTLS/);
    expect((await client.mailFrom(JAN.address)).code).toBe(530);
    await client.startTls();
    expect(offersAuth(await client.ehlo())).toBe(true);
    expect((await client.authPlain(JAN.address, "wrong")).code).toBe(535);
    expect((await client.authPlain(JAN.address, JAN.password)).code).toBe(235);
    await client.quit();
  });

  test("port 465 accepts a password, since it is TLS from the first byte", async () => {
    const address = { port: node.lab.ports.submissions, tls: true };
    expect((await sendMail(address, { from: JAN.address, to: ANNA.address, login: jan })).code).toBe(250);
  });

  test("IMAP accepts a password inside TLS only", () => expectPasswordInsideTlsOnly(node.lab, JAN));

  test("the IMAPS port, TLS from the first byte, accepts a password", async () => {
    const client = await ImapClient.open({
      port: node.lab.ports.imaps,
      localAddress: "127.0.0.2",
      tls: true,
    });
    await client.login(JAN.address, JAN.password);
    await client.logout();
  });
});

describe.skipIf(!daemons.available)("outages", () => {
  test("while Dovecot is away mail is accepted and waits, and nobody is told that a password is wrong", async () => {
    const folders = await TestNode.serving(USERS);
    const lab = await startMailLab(folders);
    try {
      await lab.doveadm("stop");
      expect((await sendMail({ port: lab.ports.smtp }, { from: STRANGER, to: JAN.address })).code).toBe(250);
      await until("the mail waits", async () =>
        (await lab.queue()).some(({ address }) => address === JAN.address),
      );
      const unknown = await sendMail({ port: lab.ports.smtp }, { from: STRANGER, to: "nobody@example.nl" });
      expect(unknown.code).toBe(550);
      // Without Dovecot, Postfix's submission closes before its greeting, which mail programs treat as
      // temporary.
      const submission = sendMail(
        { port: lab.ports.submission },
        { from: JAN.address, to: ANNA.address, login: jan },
      );
      await expect(submission).rejects.toThrow("the server closed the connection");
    } finally {
      await lab.stop();
      await folders.remove();
    }
  });

  test("before m25-mail-node has first written its replica, mail waits for it, and is not refused", async () => {
    const folders = TestNode.empty();
    const lab = await startMailLab(folders);
    try {
      const mail = sendMail({ port: lab.ports.smtp }, { from: STRANGER, to: JAN.address });
      await until("Postfix cannot look up", () => lab.log().includes("Can't open database"));
      await folders.serve(USERS);
      expect(words(await mail)).toMatch(/^(250|4\d\d) /);
      expect((await sendMail({ port: lab.ports.smtp }, { from: STRANGER, to: JAN.address })).code).toBe(250);
    } finally {
      await lab.stop();
      await folders.remove();
    }
  });
});
