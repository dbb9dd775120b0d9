/** Reads a user's mailbox over IMAP. */
import { expect } from "vitest";
import { ImapClient, ImapRefused } from "./imap.ts";
import type { MailLab } from "./lab.ts";
import { until } from "./processes.ts";

export interface Login {
  readonly address: string;
  readonly password: string;
}

/** Returns all messages in the INBOX. */
export async function inbox(lab: MailLab, { address, password }: Login): Promise<readonly string[]> {
  const client = await ImapClient.open({ port: lab.ports.imap });
  try {
    await client.login(address, password);
    await client.select();
    return await client.fetchBodies();
  } finally {
    client.close();
  }
}

/** Waits for the message with this subject and returns it. Throws the lab's log if it does not arrive. */
export async function arrives(lab: MailLab, user: Login, subject: string, seconds?: number): Promise<string> {
  let found: string | undefined;
  const look = async () => {
    // Dovecot reads its users once a second, so a log-in may still be refused.
    const messages = await inbox(lab, user).catch((error: unknown) => {
      if (error instanceof ImapRefused) return [];
      throw error;
    });
    found = messages.find((message) => message.includes(`Subject: ${subject}\r\n`));
    return found !== undefined;
  };
  await until(`"${subject}" in the mailbox of ${user.address}`, look, seconds).catch((error: unknown) => {
    throw new Error(`${error}\n${lab.log()}`);
  });
  return found ?? "";
}

export async function canLogin(lab: MailLab, { address, password }: Login): Promise<boolean> {
  const imap = await ImapClient.open({ port: lab.ports.imap });
  try {
    await imap.login(address, password);
    return true;
  } catch {
    return false;
  } finally {
    imap.close();
  }
}

/** For a lab with `tls: "shipped"`. */
export async function expectPasswordInsideTlsOnly(lab: MailLab, { address, password }: Login): Promise<void> {
  // From another address than the server's: Dovecot needs no TLS between equal ones.
  const client = await ImapClient.open({ port: lab.ports.imap, localAddress: "127.0.0.2" });
  expect(await client.capabilities()).toContain("LOGINDISABLED");
  await expect(client.login(address, password)).rejects.toThrow("NO [PRIVACYREQUIRED]");
  await client.startTls();
  await client.login(address, password);
  await client.logout();
}

/** Tries the last message of a mailbox that has no room for it twice: Trash takes a copy, and other folders do not. */
export async function expectRoomInTrashAlone(lab: MailLab, { address, password }: Login): Promise<void> {
  const client = await ImapClient.open({ port: lab.ports.imap });
  await client.login(address, password);
  await client.select();
  for (const folder of ["INBOX", "Sent"])
    await expect(client.command(`COPY * ${folder}`)).rejects.toThrow("NO [OVERQUOTA]");
  await client.command("COPY * Trash");
  await client.command("STORE * +FLAGS (\\Deleted)");
  await client.command("EXPUNGE");
  await client.logout();
}
