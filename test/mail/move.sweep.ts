/** Tests docs/move.md: copies mail from another server, with both versions of Dovecot. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { command, textOf } from "../docs/pages.ts";
import { move } from "../docs/runs.ts";
import { debian13 } from "./debian13.ts";
import { type Dovecot, dovecotCommand, installedDovecot } from "./dovecot.ts";
import { ImapClient } from "./imap.ts";
import { type MailLab, mailDaemons, startMailLab } from "./lab.ts";
import { arrives, inbox, type Login } from "./mailbox.ts";
import { ANNA, JAN, STRANGER } from "./people.ts";
import { mustRun, until } from "./processes.ts";
import { TestNode } from "./replica.ts";
import { sendMail } from "./smtp.ts";

const debian = await debian13();
const installed = mailDaemons().available ? await installedDovecot() : undefined;
const releases: readonly (readonly [string, Dovecot | undefined])[] = [
  ["Debian 12", installed],
  ["Debian 13", debian.available ? debian.dovecot : undefined],
];
const [, firstLines = ""] = /```ini\n(.*?)```/s.exec(textOf("docs/move.md")) ?? [];

for (const [release, dovecot] of releases) {
  test.skipIf(dovecot === undefined || installed?.version !== "2.3")(
    `on ${release} the page's commands copy all users' mail, later the new mail, and let none in meanwhile`,
    async () => {
      if (dovecot === undefined) return;
      const old = await startLab();
      const lab = await startLab(dovecot);
      await mustRun("sh", "-e", "-c", masterUserAt(old));
      await postfixCommands(lab, move.hold);
      await receives(old, JAN, "first");
      await receives(old, ANNA, "for anna");
      await keepFlagged(old, JAN, "Projects");
      // Other servers try again; nothing comes before the last copy, which would delete it.
      const send = (subject: string) => sendMail({ port: lab.ports.smtp }, mail(JAN, subject));
      expect(await send("meanwhile")).toMatchObject({
        code: 450,
        lines: [expect.stringContaining("being moved")],
      });
      await opensEarly(lab, JAN);
      await copier({ old, lab, dovecot, alone: ANNA }).copy();
      expect(subjects(await inbox(lab, ANNA))).toEqual(["for anna"]);
      const { copy, copyOpened } = copier({ old, lab, dovecot });
      expect(await copy()).toBe(`${JAN.address} was not copied\n`);
      await copyOpened();
      expect(await copy()).toBe("");
      expect(subjects(await inbox(lab, JAN))).toEqual(["first"]);
      expect(await flagsIn(lab, JAN, "Projects")).toContain("\\Flagged");
      expect(subjects(await inbox(lab, ANNA))).toEqual(["for anna"]);
      await receives(old, JAN, "second");
      await copy();
      expect(subjects(await inbox(lab, JAN))).toEqual(["first", "second"]);
      await postfixCommands(lab, move.release);
      await until("mail is let in", async () => (await send("meanwhile")).code === 250);
      await arrives(lab, JAN, "meanwhile");
      expect(subjects(await inbox(lab, JAN))).toEqual(["first", "second", "meanwhile"]);
    },
  );
}

async function startLab(dovecot?: Dovecot): Promise<MailLab> {
  const node = await TestNode.serving([JAN, ANNA]);
  const lab = await startMailLab({ out: node.out, mailRoot: node.mailRoot, ...(dovecot && { dovecot }) });
  onTestFinished(async () => {
    await lab.stop();
    await node.remove();
  });
  return lab;
}

const mail = ({ address }: Login, subject: string) => ({
  from: STRANGER,
  to: address,
  message: `Subject: ${subject}\n\ntext\n`,
});

async function receives(lab: MailLab, user: Login, subject: string): Promise<void> {
  await sendMail({ port: lab.ports.smtp }, mail(user, subject));
  await arrives(lab, user, subject);
}

const MASTER_PASSWORD = "read everything once";

/** The page's script for the old server, with this lab's folder. */
function masterUserAt({ dovecotConfig }: MailLab): string {
  return command(move.masterUser)
    .replaceAll("/etc/dovecot", dirname(dovecotConfig))
    .replace("openssl passwd -6", `openssl passwd -6 '${MASTER_PASSWORD}'`)
    .replace("doveadm reload", `doveadm -c ${dovecotConfig} reload`);
}

/** Runs the page's commands with this lab's Postfix. */
async function postfixCommands({ postfixConfigDir }: MailLab, name: string): Promise<void> {
  const script = command(name).replaceAll(/^(postconf|postfix|postqueue)\b/gm, `$1 -c ${postfixConfigDir}`);
  await mustRun("sh", "-e", "-c", script);
}

interface Copy {
  readonly old: MailLab;
  readonly lab: MailLab;
  readonly dovecot: Dovecot;
  /** Copies this user's mail with their own password, as the page says for a server without a master user. */
  readonly alone?: Login;
}

/** Returns the page's scripts with the old server's port and certificate, and this lab's Dovecot. */
function copier({ old, lab, dovecot, alone }: Copy) {
  const folder = mkdtempSync(join(tmpdir(), "m25-move-"));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  const is24 = dovecot.version === "2.4";
  const anyCertificate = is24 ? "ssl_client_require_valid_cert = no" : "imapc_ssl_verify = no";
  const doveadm = dovecotCommand(dovecot, "/usr/bin/doveadm").map((word) => `'${word}'`);
  const [page, users] = [command(move.copyMail), "doveadm user '*@example.nl'"];
  const here = (script: string) =>
    script
      .replace("!include /etc/dovecot/dovecot.conf", `${is24 ? firstLines : ""}!include ${lab.dovecotConfig}`)
      .replace("imap.old.example", "127.0.0.1")
      .replace("imapc_port = 993", `imapc_port = ${old.ports.imaps}\n${anyCertificate}`)
      .replace("the password of the master user", MASTER_PASSWORD)
      .replaceAll("move.conf", join(folder, "move.conf"))
      .replaceAll(/\bdoveadm (user|kick)/g, `doveadm -c ${lab.dovecotConfig} $1`)
      .replaceAll(/\bdoveadm\b/g, doveadm.join(" "));
  return {
    copy: () =>
      mustRun("sh", "-e", "-c", here(alone === undefined ? page : withOwnPassword(page, users, alone))),
    copyOpened: () => mustRun("sh", "-e", "-c", here(command(move.copyOpened))),
  };
}

function withOwnPassword(page: string, users: string, { address, password }: Login): string {
  return page
    .replace("imapc_user = %{user}", `imapc_user = ${address}`)
    .replace("imapc_master_user = mover\n", "")
    .replace("the password of the master user", password)
    .replace(users, `echo '${address}'`);
}

/** Copies the mail of a user's INBOX to a new folder, flagged. */
async function keepFlagged(lab: MailLab, user: Login, mailbox: string): Promise<void> {
  const client = await signedIn(lab, user);
  await client.command(`CREATE ${mailbox}`);
  await client.select();
  await client.command(`COPY 1:* ${mailbox}`);
  await client.select(mailbox);
  await client.command("STORE 1:* +FLAGS (\\Flagged)");
  await client.logout();
}

/** Opens a mailbox as a mail program does, makes a folder in it, and stays signed in. */
async function opensEarly(lab: MailLab, user: Login): Promise<void> {
  const client = await signedIn(lab, user);
  await client.command("CREATE Projects");
  await client.select();
}

async function flagsIn(lab: MailLab, user: Login, mailbox: string): Promise<string> {
  const client = await signedIn(lab, user);
  await client.select(mailbox);
  const flags = await client.command("FETCH 1:* (FLAGS)");
  await client.logout();
  return flags.map(({ text }) => text).join("\n");
}

async function signedIn(lab: MailLab, { address, password }: Login): Promise<ImapClient> {
  const client = await ImapClient.open({ port: lab.ports.imap });
  await client.login(address, password);
  return client;
}

function subjects(messages: readonly string[]): string[] {
  return messages.map((message) => /^Subject: (.*)\r$/m.exec(message)?.[1] ?? "");
}
