/** Tests docs/move.md: copies mail from another server, with both versions of Dovecot. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { command, textOf } from "../docs/pages.ts";
import { copyMail } from "../docs/runs.ts";
import { debian13 } from "./debian13.ts";
import { type Dovecot, dovecotCommand, installedDovecot } from "./dovecot.ts";
import { type MailLab, mailDaemons, startMailLab } from "./lab.ts";
import { arrives, inbox } from "./mailbox.ts";
import { JAN, STRANGER } from "./people.ts";
import { mustRun } from "./processes.ts";
import { TestNode } from "./replica.ts";
import { sendMail } from "./smtp.ts";

const debian = await debian13();
const releases: readonly (readonly [string, Dovecot | undefined])[] = [
  ["Debian 12", mailDaemons().available ? await installedDovecot() : undefined],
  ["Debian 13", debian.available ? debian.dovecot : undefined],
];
const [, firstLines = ""] = /```ini\n(.*?)```/s.exec(textOf("docs/move.md")) ?? [];

for (const [release, dovecot] of releases) {
  test.skipIf(dovecot === undefined)(
    `on ${release} the page's commands copy mail, and later the new mail`,
    async () => {
      if (dovecot === undefined) return;
      const old = await startLab();
      const lab = await startLab(dovecot);
      await receives(old, "first");
      const copy = await copier({ old, lab, dovecot });
      await copy();
      expect(subjects(await inbox(lab, JAN))).toEqual(["first"]);
      await receives(old, "second");
      await copy();
      expect(subjects(await inbox(lab, JAN))).toEqual(["first", "second"]);
    },
  );
}

async function startLab(dovecot?: Dovecot): Promise<MailLab> {
  const node = await TestNode.serving([JAN]);
  const lab = await startMailLab({ out: node.out, mailRoot: node.mailRoot, ...(dovecot && { dovecot }) });
  onTestFinished(async () => {
    await lab.stop();
    await node.remove();
  });
  return lab;
}

async function receives(lab: MailLab, subject: string): Promise<void> {
  const message = `Subject: ${subject}\n\ntext\n`;
  await sendMail({ port: lab.ports.smtp }, { from: STRANGER, to: JAN.address, message });
  await arrives(lab, JAN, subject);
}

/** Returns the page's script with the old server's port and certificate, and this lab's Dovecot. */
async function copier({ old, lab, dovecot }: { old: MailLab; lab: MailLab; dovecot: Dovecot }) {
  const folder = mkdtempSync(join(tmpdir(), "m25-move-"));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  const is24 = dovecot.version === "2.4";
  const anyCertificate = is24 ? "ssl_client_require_valid_cert = no" : "imapc_ssl_verify = no";
  const script = command(copyMail)
    .replace("!include /etc/dovecot/dovecot.conf", `${is24 ? firstLines : ""}!include ${lab.dovecotConfig}`)
    .replace("imap.old.example", "127.0.0.1")
    .replace("imapc_port = 993", `imapc_port = ${old.ports.imaps}\n${anyCertificate}`)
    .replace("the password at the old server", JAN.password)
    .replaceAll("jan.conf", join(folder, "jan.conf"));
  const doveadm = dovecotCommand(dovecot, "/usr/bin/doveadm").map((word) => `'${word}'`);
  writeFileSync(join(folder, "script"), script.replace(/^doveadm/m, doveadm.join(" ")));
  return () => mustRun("sh", "-e", join(folder, "script"));
}

function subjects(messages: readonly string[]): string[] {
  return messages.map((message) => /^Subject: (.*)\r$/m.exec(message)?.[1] ?? "");
}
