/** Aliases in the real daemons: each kind delivers, and what leads nowhere is refused at RCPT. Our own program makes the replica. */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { NodeRole } from "../../src/sync/records.ts";
import { DEAD, DOMAIN_ALIASES, FORWARD, kinds, PIET, refused, senders } from "./alias-kinds.ts";
import { type MailLab, type MxLab, mailDaemons, startMailLab, startMxLab } from "./lab.ts";
import { arrives, canLogin, inbox } from "./mailbox.ts";
import { ANNA, JAN, STRANGER } from "./people.ts";
import { until } from "./processes.ts";
import { TestNode } from "./replica.ts";
import { SmtpClient, sendMail } from "./smtp.ts";

const daemons = mailDaemons();

const FOREIGN = "boss@elsewhere.test";
const USERS = [JAN, ANNA, PIET];
/** Aliases with their targets, as the server flattens them. */
const LEADS: Record<string, string[]> = {
  "info@example.nl": [ANNA.address, JAN.address],
  [FORWARD]: [FOREIGN],
  "anna@example.nl": [ANNA.address, JAN.address],
  [DEAD]: [],
  "@example.nl": [PIET.address],
  "sales@second.example": [JAN.address],
  "@": [JAN.address],
};
const domainAliases = Object.entries(DOMAIN_ALIASES).map(([domain_alias, of]) => ({ domain_alias, of }));

function aliasesFor(role: NodeRole, leads = LEADS) {
  const aliases = Object.entries(leads).map(([alias, targets]) =>
    role === "mx"
      ? { alias, live: targets.length > 0 }
      : { alias, targets: targets.sort(), send_as: alias.startsWith("info") || alias.startsWith("sales") },
  );
  return { aliases, domainAliases };
}

describe.skipIf(!daemons.available)("aliases", () => {
  let node: TestNode;
  let mxNode: TestNode;
  let lab: MailLab;
  let mx: MxLab;

  beforeAll(async () => {
    node = await TestNode.serving(USERS, "mail", aliasesFor("mail"));
    mxNode = await TestNode.serving(USERS, "mx", aliasesFor("mx"));
    lab = await startMailLab({ out: node.out, mailRoot: node.mailRoot });
    mx = await startMxLab({ out: mxNode.out, relayPort: lab.ports.smtp });
  });

  afterAll(async () => {
    await mx?.stop();
    await lab?.stop();
    await node?.remove();
    await mxNode?.remove();
  });

  let sent = 0;
  /** Sends a message and returns its subject and the server's code. */
  async function deliver(to: string, { ports }: { ports: { smtp: number } } = lab) {
    sent += 1;
    const subject = `message ${sent} to ${to}`;
    const { code } = await sendMail(
      { port: ports.smtp },
      { from: STRANGER, to, message: `Subject: ${subject}\n\ntext\n` },
    );
    return { subject, code };
  }

  test.each(kinds)(
    "%s delivers to the mailboxes meant, and to no other, also by way of an MX",
    async (_, to, who) => {
      for (const way of [lab, mx]) {
        const { subject, code } = await deliver(to, way);
        expect(code).toBe(250);
        for (const user of who) await arrives(lab, user, subject);
        await until("the queue is empty", async () =>
          (await lab.queue()).every(({ address }) => address === FOREIGN),
        );
        for (const user of USERS.filter((other) => !who.includes(other)))
          expect((await inbox(lab, user)).join()).not.toContain(subject);
      }
    },
  );

  test.each(refused)("%s is refused at once, by an MX too", async (to) => {
    expect((await deliver(to)).code).toBe(550);
    expect((await deliver(to, mx)).code).toBe(550);
  });

  test("a forward leaves this node, without the plus of the address here", async () => {
    expect((await deliver("forward+lists@example.nl")).code).toBe(250);
    await until("the forward leaves", async () => lab.log().includes(`to=<${FOREIGN}>`));
  });

  test("what a user writes to postmaster@ of a domain elsewhere goes there", async () => {
    const [to, login] = ["postmaster@elsewhere.test", { user: JAN.address, password: JAN.password }];
    const envelope = { from: JAN.address, to, login, message: "Subject: a question\n\ntext\n" };
    expect((await sendMail({ port: lab.ports.submission }, envelope)).code).toBe(250);
    await until("it leaves", async () => lab.log().includes(`: to=<${to}>`));
  });

  test("only an alias's mailboxes may send as it, and only if it says so", async () => {
    for (const [{ address, password }, from, code] of senders) {
      const smtp = await SmtpClient.open({ port: lab.ports.submission });
      await smtp.ehlo();
      expect((await smtp.authPlain(address, password)).code).toBe(235);
      await smtp.mailFrom(from);
      expect({ address, from, code: (await smtp.rcptTo(STRANGER)).code }).toEqual({ address, from, code });
      smtp.close();
    }
  });

  test("a mailbox's owner can log in by a domain alias as well", async () => {
    expect(await canLogin(lab, { ...PIET, address: "piet@alias.example" })).toBe(true);
  });

  test("a change of an alias, and the end of a domain alias, count with the next message", async () => {
    await node.serve(USERS, "mail", {
      ...aliasesFor("mail", {
        ...LEADS,
        "info@example.nl": [PIET.address],
        [DEAD]: [JAN.address],
      }),
      domainAliases: [],
    });
    const { subject } = await deliver("info@example.nl");
    await arrives(lab, PIET, subject);
    const alive = await deliver(DEAD);
    await arrives(lab, JAN, alive.subject);
    // 554 once smtpd has forgotten that the domain is ours.
    expect([550, 554]).toContain((await deliver("piet@alias.example")).code);
    await node.serve(USERS, "mail");
    expect((await deliver("info@example.nl")).code).toBe(550);
    expect((await deliver("whatever@example.nl")).code).toBe(550);
    expect((await deliver("postmaster@example.nl")).code).toBe(550);
  });
});
