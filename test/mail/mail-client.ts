/** A mail program beside a fresh Debian. */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { temporaryFolder } from "../support/store.ts";
import type { FreshDebian } from "./fresh-debian.ts";
import type { Login } from "./mailbox.ts";
import { type Finished, run, until } from "./processes.ts";

/** curl's result for accepted mail. */
export const TAKEN = { code: 0, stderr: "" };
/** curl's exit codes. */
export const NO_CONNECTION = 7;
/** It says nothing of the server's reply to the message. */
export const REFUSED = 8;
export const LOGIN_DENIED = 67;

interface Mail {
  readonly from: string;
  readonly to: string;
  readonly subject: string;
  readonly text?: string;
  readonly login?: Login;
}

export type MailClient = ReturnType<typeof mailClient>;

/** curl as a mail program that trusts only the node's certificate and requires TLS. */
export function mailClient({ onNetwork }: FreshDebian, name: string, cert: string) {
  const [program, ...enter] = onNetwork;
  const folder = temporaryFolder();
  const curl = (...args: readonly string[]) =>
    run(
      program,
      ...enter,
      "curl",
      "-sS",
      "--ssl-reqd",
      "--cacert",
      cert,
      "--connect-to",
      "::127.0.0.1:",
      ...args,
    );
  const loginOf = ({ address, password }: Login) => {
    const file = join(folder, "login");
    writeFileSync(file, `user = "${address}:${password}"\n`);
    return ["--config", file];
  };
  /** Returns whether the user's INBOX has a mail whose subject contains this. */
  async function has(user: Login, subject: string): Promise<boolean> {
    const search = `imaps://${name}/INBOX?HEADER%20Subject%20%22${encodeURIComponent(subject)}%22`;
    return /^\* SEARCH \d/m.test((await curl(...loginOf(user), search)).stdout);
  }
  return {
    send(scheme: string, port: number, { from, to, subject, text = "text", login }: Mail): Promise<Finished> {
      const file = join(folder, "mail");
      writeFileSync(file, `From: <${from}>\r\nTo: <${to}>\r\nSubject: ${subject}\r\n\r\n${text}\r\n`);
      const envelope = ["--mail-from", from, "--mail-rcpt", to, "--upload-file", file];
      const credentials = login === undefined ? [] : loginOf(login);
      return curl(...envelope, ...credentials, `${scheme}://${name}:${port}/client.test`);
    },
    has,
    /** One IMAP command in a selected mailbox. */
    async command(user: Login, mailbox: string, command: string): Promise<void> {
      const done = await curl(...loginOf(user), "--request", command, `imaps://${name}/${mailbox}`);
      if (done.code !== 0) throw new Error(`${command}: ${done.stderr}`);
    },
    /** Logs in from this address. @returns curl's exit code */
    tryPassword: async ({ address, password }: Login, url: string, from: string): Promise<number> =>
      (await curl("--interface", from, "--max-time", "30", "--user", `${address}:${password}`, url)).code,
    arrives: (user: Login, subject: string): Promise<void> =>
      until(`"${subject}" in the mailbox of ${user.address}`, () => has(user, subject)),
  };
}
