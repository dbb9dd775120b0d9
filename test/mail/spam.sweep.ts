/** Debian's rspamd with the shipped files, between Postfix and Dovecot. */
import { generateKeyPairSync } from "node:crypto";
import { existsSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { dkimSign, sealMessage } from "mailauth";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { NSD, ownAddress, startNameServer } from "../support/name-server.ts";
import { RSPAMD } from "../support/needs.ts";
import { deployedDaemons } from "./deployed.ts";
import { ImapClient } from "./imap.ts";
import { mailDaemons } from "./lab.ts";
import { arrives } from "./mailbox.ts";
import { ANNA, GTUBE, JAN, STRANGER } from "./people.ts";
import { until } from "./processes.ts";
import { type Rspamd, startRspamd } from "./rspamd.ts";
import { SieveClient } from "./sieve.ts";
import { SmtpClient, type SmtpReply, sendMail } from "./smtp.ts";

const EVA = "eva@example.org";
const { publicKey, privateKey } = generateKeyPairSync("rsa", {
  modulusLength: 2048,
  publicKeyEncoding: { type: "spki", format: "der" },
  privateKeyEncoding: { type: "pkcs8", format: "pem" },
});
const KEY = `v=DKIM1; k=rsa; p=${publicKey.toString("base64")}`;
/**
 * Nobody but 192.0.2.25 sends mail of the hosted domain example.nl. The other one, example.org, has no DMARC record. The
 * stranger's server is a proper one, and may send mail of shop.example.org too.
 */
const ZONE = `elsewhere.test. MX 10 client.test.
elsewhere.test. TXT "v=spf1 mx -all"
client.test. A 198.51.100.7
7.100.51.198.in-addr.arpa. PTR client.test.
example.nl. TXT "v=spf1 ip4:192.0.2.25 -all"
_dmarc.example.nl. TXT "v=DMARC1; p=none"
example.org. TXT "v=spf1 ip4:192.0.2.25 -all"
shop.example.org. TXT "v=spf1 ip4:198.51.100.7 -all"
bank.test. TXT "v=spf1 ip4:192.0.2.25 -all"
_dmarc.bank.test. TXT "v=DMARC1; p=reject"
${["example.org", "elsewhere.test"].map((name) => `s1._domainkey.${name}. TXT "${KEY.slice(0, 250)}" "${KEY.slice(250)}"`).join("\n")}
`;

const available = mailDaemons().available && [RSPAMD, NSD].every((path) => existsSync(path));

describe.skipIf(!available)("mail from other servers", () => {
  const node = deployedDaemons();
  let filter: Rspamd;
  let stopNameServer: () => Promise<void>;

  beforeAll(async () => {
    const nameServer = ownAddress();
    stopNameServer = await startNameServer(nameServer, { ".": ZONE });
    host("example.nl", "example.org");
    filter = await startRspamd(node.lab, node.folders.out, nameServer);
  });

  afterAll(async () => {
    await filter?.remove();
    await stopNameServer?.();
  });

  /** Writes the list as the node's program does. */
  function host(...domains: string[]): void {
    writeFileSync(join(node.folders.out, "hosted-domains"), domains.map((name) => `${name}\n`).join(""));
  }

  interface Mail {
    /** The sender of the envelope. */
    from?: string;
    /** The address in From. */
    header?: string;
    subject: string;
    text?: string;
    /** Signs the mail, or seals it. */
    change?: (message: string) => Promise<string>;
  }

  /** Sends a mail as a server elsewhere does: the filter checks no sender at a local address. */
  async function send({ from = STRANGER, header = from, subject, text = "text", change }: Mail) {
    const client = await SmtpClient.open({ port: node.lab.ports.smtp });
    await client.ehlo();
    await client.command("XCLIENT ADDR=198.51.100.7 NAME=client.test");
    await client.ehlo();
    await client.mailFrom(from);
    await client.rcptTo(JAN.address);
    const fields = [
      `From: <${header}>`,
      `To: <${JAN.address}>`,
      `Subject: ${subject}`,
      `Date: ${new Date().toUTCString()}`,
      `Message-ID: <${Math.random()}@elsewhere.test>`,
    ];
    const message = `${fields.join("\r\n")}\r\n\r\n${text}\r\n`;
    const reply: SmtpReply = await client.data(
      ((await change?.(message)) ?? message).replaceAll("\r\n", "\n"),
    );
    client.close();
    return reply;
  }

  async function open(mailbox: string, owner = JAN): Promise<ImapClient> {
    const imap = await ImapClient.open({ port: node.lab.ports.imap });
    await imap.login(owner.address, owner.password);
    await imap.select(mailbox);
    return imap;
  }

  async function isInJunk(subject: string): Promise<void> {
    await until(`"${subject}" is in Junk`, async () => {
      const imap = await open("Junk");
      const bodies = await imap.fetchBodies();
      await imap.logout();
      return bodies.some((body) => body.includes(`Subject: ${subject}\r\n`));
    });
  }

  const signs = (domain: string) => async (message: string) => {
    const key = { signingDomain: domain, selector: "s1", privateKey };
    const { signatures } = await dkimSign(message, { ...key, signatureData: [key] });
    return `${signatures}${message}`;
  };

  test("arrives with what was checked, and without an X-Spam that the sender has written", async () => {
    const subject = "an order\r\nX-Spam: Yes";
    expect((await send({ subject })).code).toBe(250);
    const found = await arrives(node.lab, JAN, "an order");
    expect(found).toMatch(/^Authentication-Results: /m);
    expect(found).not.toMatch(/^X-Spam:/m);
  });

  test("that is certainly spam is refused", async () => {
    expect((await send({ subject: "spam", text: GTUBE })).code).toBe(554);
  });

  test("goes to Junk if the domain in From asks for a refusal", async () => {
    expect((await send({ header: "boss@bank.test", subject: "your account" })).code).toBe(250);
    await isInJunk("your account");
  });

  test("in the name of a hosted domain goes to Junk, with or without a DMARC record, whatever domain is signed", async () => {
    const forged = [
      { header: ANNA.address, subject: "pay this bill" },
      { header: EVA, subject: "and this one" },
      { header: EVA, subject: "signed by another", change: signs("elsewhere.test") },
      { from: EVA, subject: "from her too" },
    ];
    for (const mail of forged) {
      expect((await send(mail)).code).toBe(250);
      await isInJunk(mail.subject);
    }
  });

  test("in the name of a hosted domain arrives if its SPF or DKIM vouches for it", async () => {
    const real = [
      { from: "orders@shop.example.org", header: EVA, subject: "by SPF" },
      { header: EVA, subject: "by DKIM", change: signs("example.org") },
    ];
    for (const mail of real) {
      expect((await send(mail)).code).toBe(250);
      await arrives(node.lab, JAN, mail.subject);
    }
  });

  test("in the name of a domain is forged from the moment that it is hosted", async () => {
    const header = "owner@cafe.test";
    expect((await send({ header, subject: "before" })).code).toBe(250);
    await arrives(node.lab, JAN, "before");
    host("example.nl", "example.org", "cafe.test");
    let count = 0;
    await until("rspamd has read the list", async () => {
      count += 1;
      await send({ header, subject: `after ${count}` });
      const imap = await open("Junk");
      const bodies = await imap.fetchBodies();
      await imap.logout();
      return bodies.some((body) => body.includes("Subject: after "));
    });
  });

  test("shows whether the forwarder's seal is right (ARC)", async () => {
    const seal = (domain: string) => async (message: string) => {
      const key = { signingDomain: domain, selector: "s1", privateKey };
      const authResults = "client.test; spf=pass smtp.mailfrom=elsewhere.test";
      return `${await sealMessage(message, { ...key, authResults, cv: "none" })}${message}`;
    };
    expect((await send({ subject: "sealed", change: seal("elsewhere.test") })).code).toBe(250);
    expect(await arrives(node.lab, JAN, "sealed")).toMatch(
      /^Authentication-Results:(?:.*\r\n\s)*.*arc=pass/m,
    );
    expect((await send({ subject: "sealed wrongly", change: seal("nobody.test") })).code).toBe(250);
    expect(await arrives(node.lab, JAN, "sealed wrongly")).not.toContain("arc=pass");
  });

  test("that users send is not filtered", async () => {
    const login = { user: ANNA.address, password: ANNA.password };
    const message = `From: <${ANNA.address}>\nSubject: from Anna\n\n${GTUBE}\n`;
    const envelope = { from: ANNA.address, to: JAN.address, login, message };
    expect((await sendMail({ port: node.lab.ports.submission }, envelope)).code).toBe(250);
    await arrives(node.lab, JAN, "from Anna");
  });

  describe("the filter", () => {
    /** Puts a mail of many words into a mailbox, as no other one has them. */
    async function put(imap: ImapClient, mailbox: string, subject: string): Promise<void> {
      const words = Array.from({ length: 60 }, (_, index) => `${subject}word${index}`).join(" ");
      const message = `From: <${STRANGER}>\r\nSubject: ${subject}\r\nMessage-ID: <${subject}@elsewhere.test>\r\n\r\n${words}\r\n`;
      await imap.command(`APPEND ${mailbox} {${message.length}+}\r\n${message}`);
    }

    const hasLearnt = (what: string, expected: { spam: number; ham: number }) =>
      until(what, async () => JSON.stringify(await filter.learnt()) === JSON.stringify(expected)).catch(
        async (error) => {
          throw new Error(`${error}: ${JSON.stringify(await filter.learnt())}\n${node.lab.log()}`);
        },
      );

    test("learns from moves to Junk, out of it, and from the inbox into a folder, and each mail once", async () => {
      const imap = await open("INBOX");
      await imap.command("CREATE Bills");
      await put(imap, "INBOX", "apple");
      await imap.select("INBOX");
      await imap.command("MOVE * Junk");
      await hasLearnt("a moved mail is spam", { spam: 1, ham: 0 });
      await put(imap, "Junk", "pear");
      await hasLearnt("a mail put there is spam", { spam: 2, ham: 0 });
      await put(imap, "INBOX", "plum");
      await imap.select("INBOX");
      await imap.command("COPY * Junk");
      await hasLearnt("a copied mail is spam", { spam: 3, ham: 0 });
      await imap.command("COPY * Junk");
      await imap.command("MOVE * Bills");
      await hasLearnt("a mail in a folder is wanted", { spam: 2, ham: 1 });
      await imap.select("Junk");
      await imap.command("MOVE * Trash");
      await put(imap, "Junk", "cherry");
      await hasLearnt("one from Junk to Trash is nothing", { spam: 3, ham: 1 });
      await imap.select("Junk");
      await imap.command("MOVE * INBOX");
      await hasLearnt("one from Junk to the inbox is wanted", { spam: 2, ham: 2 });
      await imap.logout();
    });

    test("learns 20 mails a day of each kind from a mailbox", async () => {
      const imap = await open("INBOX");
      for (let count = 0; count < 20; count += 1) await put(imap, "Junk", `more${count}`);
      await imap.logout();
      // 5 came before.
      expect((await filter.learnt()).spam).toBe(2 + 15);
    });

    test("is taught by moves only: a filter of an owner cannot start programs", async () => {
      const client = await SieveClient.open(node.lab.ports.sieve);
      await client.login(JAN.address, JAN.password);
      const script = 'require "vnd.dovecot.pipe"; pipe "m25-learn" ["ham"];';
      await expect(client.activate(script)).rejects.toThrow("vnd.dovecot.pipe");
      client.close();
    });

    test("may be frozen: mail can be moved", async () => {
      const imap = await open("INBOX", ANNA);
      for (const subject of ["grape", "melon"]) await put(imap, "INBOX", subject);
      await imap.select("INBOX");
      const thaw = filter.freeze();
      await imap.command("MOVE 1:* Junk");
      thaw();
      expect(await imap.select("Junk")).toBe(2);
      await imap.logout();
    });

    test("may be away: mail arrives, and can be moved", async () => {
      await filter.stop();
      expect((await send({ subject: "without a filter" })).code).toBe(250);
      await arrives(node.lab, JAN, "without a filter");
      const imap = await open("INBOX");
      await imap.command("MOVE * Junk");
      await imap.logout();
      await isInJunk("without a filter");
    });
  });
});
