/** The configuration in deploy/ for a node that only relays, in the real daemons. Our own program makes the replica and does not run. */
import { utimesSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type MailLab, type MxLab, mailDaemons, startMailLab, startMxLab } from "./lab.ts";
import { arrives, inbox } from "./mailbox.ts";
import { JAN, STRANGER, USERS } from "./people.ts";
import { mustRun, run, until } from "./processes.ts";
import { TestNode } from "./replica.ts";
import { offersAuth, SmtpClient, sendMail, words } from "./smtp.ts";

const daemons = mailDaemons();

describe.skipIf(!daemons.available)("an MX-only node", () => {
  let folders: TestNode;
  let mxFolders: TestNode;
  const ahead = ["late@example.nl", "jan@new-domain.test"];
  let lab: MailLab;
  let mx: MxLab;

  beforeAll(async () => {
    folders = await TestNode.serving(USERS);
    const unborn = ahead.map((address) => ({ address, password: "" }));
    mxFolders = await TestNode.serving([...USERS, ...unborn], "mx");
    lab = await startMailLab({ out: folders.out, mailRoot: folders.mailRoot, tls: "shipped" });
    mx = await startMxLab({ out: mxFolders.out, relayPort: lab.ports.smtp });
  });

  afterAll(async () => {
    await mx?.stop();
    await lab?.stop();
    await folders.remove();
    await mxFolders?.remove();
  });

  test("mail to a known user and to a plus address reaches the mailbox node", async () => {
    for (const to of [JAN.address, "jan+lists@example.nl"]) {
      const message = `Subject: by way of the MX to ${to}\n\ntext\n`;
      expect((await sendMail({ port: mx.ports.smtp }, { from: STRANGER, to, message })).code).toBe(250);
      await arrives(lab, JAN, `by way of the MX to ${to}`);
    }
  });

  test("an unknown user and a foreign domain are refused at once", async () => {
    const unknown = await sendMail({ port: mx.ports.smtp }, { from: STRANGER, to: "nobody@example.nl" });
    expect(words(unknown)).toMatch(/^550 5\.1\.1 .*User unknown in relay recipient table$/);
    const foreign = await sendMail({ port: mx.ports.smtp }, { from: STRANGER, to: "someone@elsewhere.test" });
    expect(words(foreign)).toMatch(/^554 5\.7\.1 .*Relay access denied$/);
  });

  test("a subdomain of a hosted domain is foreign too", async () => {
    const reply = await sendMail({ port: mx.ports.smtp }, { from: STRANGER, to: "jan@sub.example.nl" });
    expect(words(reply)).toMatch(/^554 5\.7\.1 .*Relay access denied$/);
  });

  test("mail goes to the mailbox node only through TLS, and waits until TLS is available", async () => {
    const offersTls = async (level: "none" | "may") => {
      await mustRun("postconf", "-c", lab.postfixConfigDir, "-e", `smtpd_tls_security_level=${level}`);
      utimesSync(join(lab.postfixConfigDir, "main.cf"), 1, 1);
      await mustRun("postfix", "-c", lab.postfixConfigDir, "reload");
    };
    const message = "Subject: not in clear\n\ntext\n";
    await offersTls("none");
    try {
      await sendMail({ port: mx.ports.smtp }, { from: STRANGER, to: JAN.address, message });
      await until("the mail waits", async () =>
        (await mx.queue()).some(({ reason }) => reason.includes("TLS is required, but was not offered")),
      );
      expect((await inbox(lab, JAN)).join()).not.toContain("not in clear");
    } finally {
      await offersTls("may");
    }
    await mx.flushQueue();
    expect(await arrives(lab, JAN, "not in clear")).toMatch(/by mail\.example\.nl .*with ESMTPS/s);
  });

  test("bounces to others use TLS if available, and are sent without it if not", async () => {
    const setting = async (name: string) =>
      (await mustRun("postconf", "-c", mx.postfixConfigDir, "-xh", name)).trim();
    const policy = await setting("smtp_tls_policy_maps");
    expect((await run("postmap", "-c", mx.postfixConfigDir, "-q", "elsewhere.test", policy)).stdout).toBe("");
    expect(await setting("smtp_tls_security_level")).toBe("may");
  });

  test("no password is accepted", async () => {
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
      await folders.serve([...USERS, user]);
      // smtpd remembers for about half a minute that a domain is not ours, which is too long for a test.
      await mustRun("postfix", "-c", lab.postfixConfigDir, "reload");
      await mx.flushQueue();
      await arrives(lab, user, `ahead of ${to}`);
    },
  );
});
