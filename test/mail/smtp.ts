/** A strict SMTP client for tests (RFC 5321). It returns every reply with its exact lines. */
import { type Address, Connection } from "./connection.ts";

export interface SmtpReply {
  readonly code: number;
  /** The lines as received, with codes. */
  readonly lines: readonly string[];
}

export interface Envelope {
  readonly from: string;
  readonly to: string;
  readonly message?: string;
  readonly login?: { readonly user: string; readonly password: string };
}

export class SmtpClient {
  readonly #connection: Connection;

  private constructor(connection: Connection) {
    this.#connection = connection;
  }

  /** Connects and reads the greeting. Throws unless it is 220. */
  static async open(address: Address): Promise<SmtpClient> {
    const client = new SmtpClient(await Connection.open(address));
    const greeting = await client.#reply();
    if (greeting.code !== 220) throw new Error(`greeting: ${greeting.lines.join(" / ")}`);
    return client;
  }

  async #reply(): Promise<SmtpReply> {
    const lines: string[] = [];
    for (;;) {
      const line = await this.#connection.line();
      const [, code, separator] = /^([2-5]\d\d)([ -])/.exec(line) ?? [];
      if (code === undefined) throw new Error(`not an SMTP reply: ${line}`);
      if (lines[0] !== undefined && !lines[0].startsWith(code))
        throw new Error(`codes differ: ${lines[0]} ${line}`);
      lines.push(line);
      if (separator === " ") return { code: Number(code), lines };
    }
  }

  /** Sends a command (also LHLO for LMTP) and returns the reply. */
  command(line: string): Promise<SmtpReply> {
    this.#connection.write(`${line}\r\n`);
    return this.#reply();
  }

  ehlo(): Promise<SmtpReply> {
    return this.command("EHLO client.test");
  }

  /** Sends STARTTLS and does the handshake. EHLO must follow: earlier offers are void (RFC 3207). */
  async startTls(): Promise<SmtpReply> {
    const reply = await this.command("STARTTLS");
    if (reply.code === 220) await this.#connection.startTls();
    return reply;
  }

  /** Sends AUTH PLAIN (RFC 4616). */
  authPlain(user: string, password: string): Promise<SmtpReply> {
    return this.command(`AUTH PLAIN ${Buffer.from(`\0${user}\0${password}`).toString("base64")}`);
  }

  /** Sends MAIL FROM. Without the size in bytes the server learns it only from DATA (RFC 1870). */
  mailFrom(address: string, size?: number): Promise<SmtpReply> {
    return this.command(`MAIL FROM:<${address}>${size === undefined ? "" : ` SIZE=${size}`}`);
  }

  rcptTo(address: string): Promise<SmtpReply> {
    return this.command(`RCPT TO:<${address}>`);
  }

  /** Sends DATA and the message. Returns the reply to the message, or to DATA if that was refused. */
  async data(message: string): Promise<SmtpReply> {
    const reply = await this.command("DATA");
    if (reply.code !== 354) return reply;
    const lines = message.replace(/\r?\n$/, "").split(/\r?\n/);
    return this.command(
      `${lines.map((line) => (line.startsWith(".") ? `.${line}` : line)).join("\r\n")}\r\n.`,
    );
  }

  async quit(): Promise<void> {
    await this.command("QUIT");
    this.#connection.close();
  }

  close(): void {
    this.#connection.close();
  }
}

/** Sends a message in a transaction of its own. Returns the reply to DATA, or the first refusal before it. */
export async function sendMail(address: Address, { from, to, message, login }: Envelope): Promise<SmtpReply> {
  const client = await SmtpClient.open(address);
  try {
    await client.ehlo();
    const steps = [
      ...(login === undefined ? [] : [() => client.authPlain(login.user, login.password)]),
      () => client.mailFrom(from),
      () => client.rcptTo(to),
    ];
    for (const step of steps) {
      const reply = await step();
      if (reply.code >= 400) return reply;
    }
    return await client.data(message ?? `From: <${from}>\nTo: <${to}>\nSubject: test\n\ntest\n`);
  } finally {
    client.close();
  }
}

/** Returns a reply as text. */
export const words = (reply: SmtpReply): string => reply.lines.join("\n");

/** Returns whether the reply to EHLO offers AUTH. */
export const offersAuth = (reply: SmtpReply): boolean => /^250[ -]AUTH\b/m.test(words(reply));
