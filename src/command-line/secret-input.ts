import { createInterface } from "node:readline";
import { Writable } from "node:stream";
import { UsageError } from "./usage-error.ts";

/** Longest line to read, in bytes. No secret is that long. */
const MAX_LENGTH = 10_000;

/**
 * Asks on the terminal and hides the answer.
 *
 * @throws UsageError after Ctrl-C
 */
export async function promptSecret(question: string): Promise<string> {
  const muted = new Writable({ write: (_chunk, _encoding, done) => done() });
  const lines = createInterface({ input: process.stdin, output: muted, terminal: true });
  process.stderr.write(question);
  try {
    return await new Promise((resolve, reject) => {
      lines.once("SIGINT", () => reject(new UsageError("Given up.")));
      lines.once("line", resolve);
      lines.once("close", () => resolve(""));
    });
  } finally {
    lines.close();
    process.stderr.write("\n");
  }
}

/** The first line of standard input, without its line end. */
export async function firstInputLine(): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let length = 0;
  for await (const chunk of process.stdin as AsyncIterable<Buffer>) {
    chunks.push(chunk);
    length += chunk.length;
    if (chunk.includes("\n") || length > MAX_LENGTH) break;
  }
  const read = Buffer.concat(chunks);
  const end = read.indexOf("\n");
  const line = end < 0 ? read : read.subarray(0, end);
  return line.at(-1) === 0x0d && end >= 0 ? line.subarray(0, -1) : line;
}
