/** A ManageSieve client for tests (RFC 5804). A refused command throws its answer. */
import { Connection } from "./connection.ts";

export class SieveClient {
  readonly #connection: Connection;

  private constructor(connection: Connection) {
    this.#connection = connection;
  }

  /** Connects, and begins TLS. */
  static async open(port: number): Promise<SieveClient> {
    const client = new SieveClient(await Connection.open({ port }));
    await client.#answer();
    await client.#ask("STARTTLS");
    await client.#connection.startTls();
    await client.#answer();
    return client;
  }

  async login(user: string, password: string): Promise<void> {
    await this.#ask(`AUTHENTICATE "PLAIN" "${Buffer.from(`\0${user}\0${password}`).toString("base64")}"`);
  }

  /** Stores a script and makes it the active one. */
  async activate(script: string): Promise<void> {
    await this.#ask(`PUTSCRIPT "filters" {${Buffer.byteLength(script)}+}\r\n${script}`);
    await this.#ask('SETACTIVE "filters"');
  }

  closed(): Promise<void> {
    return this.#connection.closed();
  }

  close(): void {
    this.#connection.close();
  }

  async #ask(command: string): Promise<void> {
    this.#connection.write(`${command}\r\n`);
    await this.#answer();
  }

  /** Reads to the line that ends an answer. */
  async #answer(): Promise<void> {
    const lines: string[] = [];
    for (;;) {
      const line = await this.#connection.line();
      lines.push(line);
      if (/^OK\b/.test(line)) return;
      if (!/^(NO|BYE)\b/.test(line)) continue;
      const [, size] = /\{(\d+)\}$/.exec(line) ?? [];
      if (size !== undefined) lines.push((await this.#connection.bytes(Number(size))).toString("utf8"));
      throw new Error(lines.join("\n"));
    }
  }
}
