/** A strict IMAP client for tests (RFC 9051, RFC 3501). A refused command throws ImapRefused. */
import { type Address, Connection } from "./connection.ts";

/** NO or BAD. `code` is the response code (RFC 5530), such as AUTHENTICATIONFAILED or UNAVAILABLE. */
export class ImapRefused extends Error {
  override readonly name = "ImapRefused";
  readonly status: "NO" | "BAD";
  readonly code: string | undefined;

  constructor(status: "NO" | "BAD", text: string) {
    super(`${status} ${text}`);
    this.status = status;
    this.code = /^\[([A-Z-]+)/.exec(text)?.[1];
  }
}

/** A response as received. Each literal is moved from `text` to `literals`. */
interface Response {
  readonly text: string;
  readonly literals: readonly string[];
}

export class ImapClient {
  readonly #connection: Connection;
  readonly greeting: string;
  #count = 0;

  private constructor(connection: Connection, greeting: string) {
    this.#connection = connection;
    this.greeting = greeting;
  }

  /** Connects and reads the greeting. Throws unless it is OK. */
  static async open(address: Address): Promise<ImapClient> {
    const connection = await Connection.open(address);
    const greeting = await connection.line();
    if (!greeting.startsWith("* OK ")) throw new Error(`greeting: ${greeting}`);
    return new ImapClient(connection, greeting);
  }

  async #response(): Promise<Response> {
    let text = "";
    const literals: string[] = [];
    for (;;) {
      const line = await this.#connection.line();
      const [announced, size] = /\{(\d+)\}$/.exec(line) ?? [];
      if (announced === undefined) return { text: text + line, literals };
      text += line.slice(0, -announced.length);
      literals.push((await this.#connection.bytes(Number(size))).toString("utf8"));
    }
  }

  /** Sends a command and returns its untagged responses. Throws ImapRefused for NO and BAD. */
  async command(line: string): Promise<readonly Response[]> {
    this.#count += 1;
    const tag = `t${this.#count}`;
    this.#connection.write(`${tag} ${line}\r\n`);
    return this.#untilTagged(tag);
  }

  async #untilTagged(tag: string): Promise<readonly Response[]> {
    const untagged: Response[] = [];
    for (;;) {
      const response = await this.#response();
      if (response.text.startsWith("* ")) {
        untagged.push(response);
        continue;
      }
      const [, status, text = ""] = new RegExp(`^${tag} (OK|NO|BAD) (.*)$`).exec(response.text) ?? [];
      if (status === "NO" || status === "BAD") throw new ImapRefused(status, text);
      if (status !== "OK") throw new Error(`not an answer to ${tag}: ${response.text}`);
      return untagged;
    }
  }

  async capabilities(): Promise<readonly string[]> {
    const [response] = await this.command("CAPABILITY");
    return response?.text.split(" ").slice(2) ?? [];
  }

  /** Sends STARTTLS and does the handshake. */
  async startTls(): Promise<void> {
    await this.command("STARTTLS");
    await this.#connection.startTls();
  }

  async login(user: string, password: string): Promise<void> {
    const quoted = (text: string) => `"${text.replace(/["\\]/g, "\\$&")}"`;
    await this.command(`LOGIN ${quoted(user)} ${quoted(password)}`);
  }

  /** Opens a mailbox. Returns its number of messages. */
  async select(mailbox = "INBOX"): Promise<number> {
    const responses = await this.command(`SELECT "${mailbox}"`);
    const exists = responses
      .map(({ text }) => /^\* (\d+) EXISTS$/.exec(text)?.[1])
      .find((count) => count !== undefined);
    if (exists === undefined) throw new Error("SELECT without EXISTS");
    return Number(exists);
  }

  /** Returns all messages of the selected mailbox, complete, with CRLF. None is marked as seen. */
  async fetchBodies(): Promise<readonly string[]> {
    // FETCH 1:* in an empty mailbox is an error to some servers.
    await this.command("NOOP");
    const [found] = await this.command("SEARCH ALL");
    if (found?.text.trim() === "* SEARCH") return [];
    const responses = await this.command("FETCH 1:* (BODY.PEEK[])");
    return responses.filter(({ text }) => / FETCH /.test(text)).flatMap(({ literals }) => literals);
  }

  /** Returns usage and limit in KiB (RFC 9208); undefined if the mailbox has no limit. */
  async quota(): Promise<{ readonly used: number; readonly limit: number } | undefined> {
    for (const { text } of await this.command("GETQUOTAROOT INBOX")) {
      const [, used, limit] = /^\* QUOTA .*\(STORAGE (\d+) (\d+)\)$/.exec(text) ?? [];
      if (used !== undefined && limit !== undefined) return { used: Number(used), limit: Number(limit) };
    }
    return undefined;
  }

  /** Starts IDLE (RFC 2177) and resolves once the server waits. End it with `done`, or wait for `closed`. */
  async idle(): Promise<void> {
    this.#count += 1;
    this.#connection.write(`t${this.#count} IDLE\r\n`);
    const { text } = await this.#response();
    if (!text.startsWith("+ ")) throw new Error(`IDLE: ${text}`);
  }

  /** Ends IDLE. Returns the responses that arrived meanwhile. */
  async done(): Promise<readonly Response[]> {
    this.#connection.write("DONE\r\n");
    return this.#untilTagged(`t${this.#count}`);
  }

  /** Returns the next unsolicited response, as during IDLE. */
  async next(): Promise<string> {
    return (await this.#response()).text;
  }

  /** Resolves once the server has ended the session. Throws after `patience` milliseconds. */
  closed(patience?: number): Promise<void> {
    return this.#connection.closed(patience);
  }

  async logout(): Promise<void> {
    await this.command("LOGOUT");
    this.#connection.close();
  }

  close(): void {
    this.#connection.close();
  }
}
