import { createInterface } from "node:readline";
import { Writable } from "node:stream";
import { UsageError } from "./usage-error.ts";

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

/** Chunks to read of a line. No secret is that long. */
const MOST_CHUNKS = 10;

/** The first line of standard input, without its line feed. */
export async function firstInputLine(): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of process.stdin as AsyncIterable<Buffer>) {
    chunks.push(chunk);
    if (chunk.includes("\n") || chunks.length === MOST_CHUNKS) break;
  }
  const [line = ""] = Buffer.concat(chunks).toString("latin1").split("\n", 1);
  return Buffer.from(line, "latin1");
}
