/** Sizes and last logins from a node, through a real server. */
import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, onTestFinished } from "vitest";
import { thisMachine } from "../../src/machine/machine.ts";
import { pollOnce } from "../../src/node/poll.ts";
import { nodeOf } from "../node/support.ts";
import { startServer } from "../support/server.ts";
import { PASSWORD, testRuntime } from "../support/store.ts";
import { type Dovecot, dovecotCommand, installedDovecot } from "./dovecot.ts";
import { ImapClient } from "./imap.ts";
import { startMailLab } from "./lab.ts";
import { arrives } from "./mailbox.ts";
import { STRANGER } from "./people.ts";
import { sendMail } from "./smtp.ts";

const DAY = 86_400_000;
const JAN = { address: "jan@example.nl", password: PASSWORD };
const ANNA = { address: "anna@example.nl", password: PASSWORD };

/** Delivers a mail and logs in, with this Dovecot and the shipped configuration, and sees both in list-usage. */
export async function expectUsage(dovecot?: Dovecot): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), "m25-usage-"));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  const server = await startServer();
  const { must } = testRuntime(server.store);
  await must("add-domain", { domain: "example.nl" });
  for (const { address, password } of [JAN, ANNA])
    await server.api("add-user", { email: address, password, quota_mb: 2 });
  const { sync_key } = await must("add-node", { name: "pi" });

  const [out, mailRoot] = [join(folder, "out"), join(folder, "mail")];
  for (const one of [out, mailRoot]) mkdirSync(one, { mode: 0o711 });
  const lab = await startMailLab({ out, mailRoot, ...(dovecot && { dovecot }) });
  onTestFinished(() => lab.stop());
  const own = dovecot ?? (await installedDovecot());
  let later = 0;
  const { machine, config } = nodeOf(
    { url: new URL(server.url) },
    {
      clock: { ...thisMachine.clock, now: () => Date.now() + later },
      find: async (name) =>
        /^(sqlite3|doveadm|doveconf|dovecot)$/.test(name) ? await thisMachine.find(name) : undefined,
      run: (command, args, timeout) => {
        const [first, ...rest] = dovecotCommand(own, command, ...args);
        return thisMachine.run(first, rest, timeout);
      },
    },
  );
  Object.assign(config, { out, mailRoot, logins: lab.logins, dovecotConfig: lab.dovecotConfig });
  writeFileSync(config.keyFile, `${sync_key}\n`, { mode: 0o600 });
  const poll = async () => {
    expect(await pollOnce(machine, config, { version: "test" })).toMatchObject({ exitCode: 0 });
    const { mailboxes } = await must("list-usage", { domain: "example.nl" });
    return mailboxes as Array<Record<string, unknown>>;
  };
  const today = () => new Date().toISOString().slice(0, 10);

  // Nobody has ever logged in: Dovecot may be one that notes no logins.
  const nothing = { used_mb: 0, messages: 0, last_login: null, unused_since: null };
  // The first poll lets Dovecot reload, which may not listen then.
  await expect.poll(poll).toMatchObject([nothing, nothing]);

  const message = `Subject: a large one\n\n${`${"x".repeat(70)}\n`.repeat(16_000)}`;
  expect((await sendMail({ port: lab.ports.smtp }, { from: STRANGER, to: JAN.address, message })).code).toBe(
    250,
  );
  await arrives(lab, JAN, "a large one");
  expect(await poll()).toMatchObject([nothing, nothing]);
  later += DAY;
  expect(await poll()).toMatchObject([
    { email: ANNA.address, used_mb: 0, last_login: null, unused_since: today() },
    { used_mb: 2, used_percent: 54, messages: 1, last_login: today(), reported_on: today() },
  ]);

  const client = await ImapClient.open({ port: lab.ports.imap });
  await client.login(ANNA.address, ANNA.password);
  const notes = readdirSync(lab.logins);
  expect(notes).toHaveLength(2);
  for (const id of notes) writeFileSync(join(lab.logins, id), "1795000000"); // 2026-11-18
  later += DAY;
  const [anna, jan] = await poll();
  expect(anna?.last_login, "her session is open").toBe(today());
  expect(jan?.last_login, "never goes back").toBe(today());
  client.close();
}
