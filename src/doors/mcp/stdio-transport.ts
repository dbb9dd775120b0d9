import {
  ProtocolErrorCode,
  parseJSONRPCMessage,
  STDIO_DEFAULT_MAX_BUFFER_SIZE,
  type Transport,
} from "@modelcontextprotocol/server";
import { textOf } from "../utf8.ts";
import { LineReader } from "./line-reader.ts";
import { initializeRefusal, plainMessage } from "./requests.ts";

type Message = ReturnType<typeof parseJSONRPCMessage>;

/** Why a line is not a message, in words that repeat nothing of it. */
interface Refusal {
  /** The request's id; null if it cannot be read; undefined for an answer, which gets no answer. */
  id: string | number | null | undefined;
  code: number;
  /** For the log. */
  reason: string;
  /** For the client, if it is told more. */
  message?: string;
}

const tooLarge: Refusal = {
  id: null,
  code: ProtocolErrorCode.InvalidRequest,
  reason: `it is too large, a message has at most ${STDIO_DEFAULT_MAX_BUFFER_SIZE} bytes`,
};

/**
 * Reads a message from each line. Answers a bad line with an error (JSON-RPC 2.0, 5.1) and goes on: the SDK's own
 * transport gives no answer, and ends at a line that is too long.
 */
export class StdioTransport implements Transport {
  onmessage?: Transport["onmessage"];
  onerror?: Transport["onerror"];
  onclose?: Transport["onclose"];
  readonly #lines = new LineReader(STDIO_DEFAULT_MAX_BUFFER_SIZE);
  readonly #refused: (reason: string) => void;
  readonly #closed: () => void;
  /** Some shells on Windows begin a pipe with a byte order mark. */
  #isFirst = true;
  #isClosed = false;

  /**
   * @param refused receives the reason of each refused message
   * @param closed called when the client is gone
   */
  constructor(refused: (reason: string) => void, closed: () => void) {
    this.#refused = refused;
    this.#closed = closed;
  }

  async start(): Promise<void> {
    const { stdin, stdout } = process;
    const close = () => void this.close();
    stdin.on("data", this.#read).on("end", close).on("close", close);
    stdin.on("error", (error) => this.onerror?.(error));
    // The listener stays: a write may fail after the end.
    stdout.on("error", (error) => {
      if (!this.#isClosed) this.onerror?.(error);
      close();
    });
    if (stdin.readableEnded || stdin.destroyed) setImmediate(close);
  }

  async send(message: Message): Promise<void> {
    if (this.#isClosed) throw new Error("the client is gone");
    await new Promise<void>((resolve, reject) => {
      process.stdout.write(`${JSON.stringify(message)}\n`, (error) => (error ? reject(error) : resolve()));
    });
  }

  async close(): Promise<void> {
    if (this.#isClosed) return;
    this.#isClosed = true;
    process.stdin.off("data", this.#read).pause();
    this.onclose?.();
    this.#closed();
  }

  readonly #read = (piece: Buffer): void => {
    for (const line of this.#lines.endingIn(piece)) this.#receive(line);
  };

  #receive(line: Buffer | undefined): void {
    const text = line === undefined ? undefined : textOf(line, this.#isFirst);
    if (text?.trim() === "") return;
    this.#isFirst = false;
    const { message, refusal } = line === undefined ? { refusal: tooLarge } : messageIn(text);
    if (message !== undefined) this.onmessage?.(message);
    if (refusal !== undefined) this.#refuse(refusal);
  }

  #refuse({ id, code, reason, message = `This message is refused: ${reason}.` }: Refusal): void {
    this.#refused(reason);
    if (id === undefined) return;
    const error = { code, message };
    process.stdout.write(`${JSON.stringify({ jsonrpc: "2.0", id, error })}\n`);
  }
}

/** @param line undefined if its bytes are not UTF-8 */
function messageIn(line: string | undefined): { message?: Message; refusal?: Refusal } {
  if (line === undefined) {
    return { refusal: { id: null, code: ProtocolErrorCode.ParseError, reason: "it is not valid UTF-8" } };
  }
  let value: unknown;
  try {
    value = JSON.parse(line);
  } catch {
    return { refusal: { id: null, code: ProtocolErrorCode.ParseError, reason: "it is not JSON" } };
  }
  const wrong = initializeRefusal(value);
  if (wrong !== undefined) {
    const { code, message } = wrong;
    return { refusal: { id: idOf(value), code, message, reason: "its params are not right" } };
  }
  try {
    return { message: parseJSONRPCMessage(plainMessage(value)) };
  } catch {
    const reason = Array.isArray(value)
      ? "send one at a time, there are no batches over stdio"
      : "it is not a JSON-RPC message";
    return { refusal: { id: idOf(value), code: ProtocolErrorCode.InvalidRequest, reason } };
  }
}

/** The id under which to answer a wrong message. */
function idOf(value: unknown): Refusal["id"] {
  const message = Object(value) as Record<string, unknown>;
  const { id, method } = message;
  if (method === undefined && ("result" in message || "error" in message)) return undefined;
  const isRequest = typeof method === "string" && (typeof id === "string" || typeof id === "number");
  return isRequest ? id : null;
}
