/** A connection to a mail server, read line by line: the base of the tests' SMTP and IMAP clients. */
import { connect, type Socket } from "node:net";
import { connect as connectTls, type TLSSocket } from "node:tls";

export interface Address {
  readonly port: number;
  readonly host?: string;
  /** TLS from the first byte. */
  readonly tls?: boolean;
  /** The client's own address. Dovecot counts the server's own as secure, but not 127.0.0.2. */
  readonly localAddress?: string;
}

/** The longest wait for an answer of a server. */
const PATIENCE_MS = 60_000;

export class Connection {
  #socket: Socket;
  #buffer: Buffer = Buffer.alloc(0);
  #closed = false;
  #wake: (() => void) | undefined;

  private constructor(socket: Socket) {
    this.#socket = socket;
    this.#listen(socket);
  }

  static async open({ port, host = "127.0.0.1", tls = false, localAddress }: Address): Promise<Connection> {
    const socket = connect({ port, host, ...(localAddress === undefined ? {} : { localAddress }) });
    await new Promise<void>((resolve, reject) => {
      socket.once("connect", resolve).once("error", reject);
    });
    const connection = new Connection(socket);
    if (tls) await connection.startTls();
    return connection;
  }

  #listen(socket: Socket): void {
    const woken = () => {
      this.#wake?.();
    };
    socket.on("data", (chunk: Buffer) => {
      this.#buffer = Buffer.concat([this.#buffer, chunk]);
      woken();
    });
    socket.on("close", () => {
      if (socket === this.#socket) this.#closed = true;
      woken();
    });
    // "close" always follows an error, and the readers see that.
    socket.on("error", () => {});
  }

  /** Only the handshake: the tests' certificates are self-signed. */
  async startTls(): Promise<void> {
    const plain = this.#socket;
    plain.removeAllListeners("data");
    const secured: TLSSocket = connectTls({ socket: plain, rejectUnauthorized: false });
    this.#socket = secured;
    await new Promise<void>((resolve, reject) => {
      secured.once("secureConnect", resolve).once("error", reject);
      secured.once("close", () => reject(new Error("closed during the TLS handshake")));
    });
    this.#listen(secured);
  }

  /** Resolves with the result of `take` on the buffer. Throws if the server closes or stays silent. */
  async #take<T>(what: string, take: () => T | undefined, patience: number): Promise<T> {
    const deadline = Date.now() + patience;
    for (;;) {
      const found = take();
      if (found !== undefined) return found;
      if (this.#closed) throw new Error(`the server closed the connection while waiting for ${what}`);
      const left = deadline - Date.now();
      if (left <= 0) throw new Error(`no ${what} within ${patience} ms`);
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, left);
        this.#wake = () => {
          clearTimeout(timer);
          resolve();
        };
      });
    }
  }

  /** Returns the next line without its CRLF. A bare LF is an error of the server. */
  line(patience = PATIENCE_MS): Promise<string> {
    return this.#take(
      "line",
      () => {
        const end = this.#buffer.indexOf("\n");
        if (end < 0) return undefined;
        const line = this.#buffer.subarray(0, end).toString("utf8");
        if (!line.endsWith("\r")) throw new Error(`line without CRLF: ${JSON.stringify(line)}`);
        this.#buffer = this.#buffer.subarray(end + 1);
        return line.slice(0, -1);
      },
      patience,
    );
  }

  bytes(count: number): Promise<Buffer> {
    return this.#take(
      `${count} bytes`,
      () => {
        if (this.#buffer.length < count) return undefined;
        const bytes = this.#buffer.subarray(0, count);
        this.#buffer = this.#buffer.subarray(count);
        return bytes;
      },
      PATIENCE_MS,
    );
  }

  write(text: string): void {
    this.#socket.write(text);
  }

  /** Resolves once the server has closed the connection. */
  async closed(patience = PATIENCE_MS): Promise<void> {
    await this.#take("end of the connection", () => (this.#closed ? true : undefined), patience);
  }

  close(): void {
    this.#socket.destroy();
  }
}
