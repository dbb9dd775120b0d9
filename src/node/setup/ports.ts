/** The answers of this machine's daemons, as mail programs and other servers get them. */
import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { connect as connectTls } from "node:tls";

/** A daemon that is busy answers within seconds; look-ups of names may hold up a greeting. */
const TIMEOUT = 15_000;

/** Lines to and from a daemon. A reply of SMTP may have several. */
export class Dialogue {
  #socket: Socket;
  #text = "";

  private constructor(socket: Socket) {
    this.#socket = socket;
    this.#listen();
  }

  /** @throws Error if nothing answers */
  static async open({ port, tls }: Port, host = "127.0.0.1"): Promise<Dialogue> {
    const socket = tls ? connectTls({ host, port, rejectUnauthorized: false }) : connect({ host, port });
    socket.setTimeout(TIMEOUT, () => socket.destroy(new Error("it does not answer")));
    await once(socket, tls ? "secureConnect" : "connect");
    return new Dialogue(socket);
  }

  /** Waits for a whole reply of SMTP, or a line of IMAP. */
  async reply(): Promise<string> {
    for (;;) {
      const [whole] = /^(?:\d{3}-[^\n]*\n)*(?!\d{3}-)[^\n]*\n/.exec(this.#text) ?? [];
      if (whole !== undefined) {
        this.#text = this.#text.slice(whole.length);
        return whole.trimEnd();
      }
      await Promise.race([once(this.#socket, "data"), this.#end()]);
    }
  }

  async say(line: string): Promise<string> {
    this.#socket.write(`${line}\r\n`);
    return await this.reply();
  }

  async startTls(): Promise<void> {
    this.#socket.removeAllListeners("data");
    this.#socket = connectTls({ socket: this.#socket, rejectUnauthorized: false });
    await once(this.#socket, "secureConnect");
    this.#listen();
  }

  close(): void {
    this.#socket.destroy();
  }

  #listen(): void {
    this.#socket.on("error", () => undefined);
    this.#socket.on("data", (piece: Buffer) => {
      this.#text += piece.toString("latin1");
    });
  }

  async #end(): Promise<never> {
    await once(this.#socket, "close");
    throw new Error("it closed the connection");
  }
}

/** The port of a daemon of this machine, and whether TLS begins with the first byte. */
export interface Port {
  port: number;
  tls: boolean;
}

/** @returns why the port does not take a mailbox's mail; undefined if it does */
export async function smtpFault(
  at: Port,
  name: string,
  mailbox: string | undefined,
): Promise<string | undefined> {
  return await faultOf(at, async (smtp) => {
    const hello = await greet(smtp, name);
    if (!/^250[ -]STARTTLS\r?$/m.test(hello)) return "it offers no STARTTLS";
    await smtp.say("STARTTLS");
    await smtp.startTls();
    await smtp.say(`EHLO ${name}`);
    expectReply(await smtp.say("MAIL FROM:<>"), "250");
    if (mailbox !== undefined) expectReply(await smtp.say(`RCPT TO:<${mailbox}>`), "250");
    return undefined;
  });
}

/** @returns why users cannot send through this port; undefined if they can */
export async function submissionFault(at: Port, name: string): Promise<string | undefined> {
  return await faultOf(at, async (smtp) => {
    let hello = await greet(smtp, name);
    if (!at.tls) {
      if (/^250[ -]AUTH /m.test(hello)) return "it takes passwords in clear text";
      expectReply(await smtp.say("STARTTLS"), "220");
      await smtp.startTls();
      hello = await smtp.say(`EHLO ${name}`);
    }
    return /^250[ -]AUTH /m.test(hello) ? undefined : "it offers no login: Dovecot does not answer";
  });
}

/** @returns why mail programs cannot read mail; undefined if they can */
export async function imapFault(at: Port): Promise<string | undefined> {
  return await faultOf(at, async (imap) => {
    const greeting = await imap.reply();
    return greeting.startsWith("* OK") ? undefined : greeting;
  });
}

/** @returns why owners cannot edit their filters by ManageSieve (RFC 5804); undefined if they can */
export async function sieveFault(port: number): Promise<string | undefined> {
  return await faultOf({ port, tls: false }, async (sieve) => {
    let line = await sieve.reply();
    while (line.startsWith('"')) line = await sieve.reply(); // its capabilities come first
    return line.startsWith("OK") ? undefined : line;
  });
}

async function faultOf(
  at: Port,
  talk: (dialogue: Dialogue) => Promise<string | undefined>,
): Promise<string | undefined> {
  let dialogue: Dialogue | undefined;
  try {
    dialogue = await Dialogue.open(at);
    return await talk(dialogue);
  } catch (error) {
    return (error as Error).message;
  } finally {
    dialogue?.close();
  }
}

async function greet(smtp: Dialogue, name: string): Promise<string> {
  expectReply(await smtp.reply(), "220");
  return await smtp.say(`EHLO ${name}`);
}

function expectReply(reply: string, code: string): void {
  if (!reply.startsWith(code)) throw new Error(reply.replaceAll(/\s+/g, " ").slice(0, 200));
}
