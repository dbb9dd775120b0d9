import { createInterface } from "node:readline";
import { Writable } from "node:stream";
import { UsageError } from "./faults.ts";

/** Far more than a key. */
const MAX_LENGTH = 10_000;

/** The first line of standard input; on a terminal, asked for on stderr and not shown while it is typed. */
export async function readSecret(question: string): Promise<string> {
  if (process.stdin.isTTY) return await prompt(question);
  let text = "";
  process.stdin.setEncoding("utf8");
  for await (const piece of process.stdin) {
    text += piece;
    if (text.includes("\n") || text.length > MAX_LENGTH) break;
  }
  return text.split("\n", 1)[0] ?? "";
}

async function prompt(question: string): Promise<string> {
  const muted = new Writable({ write: (_piece, _encoding, done) => done() });
  const lines = createInterface({ input: process.stdin, output: muted, terminal: true });
  process.stderr.write(question);
  try {
    return await new Promise((resolve, reject) => {
      lines.once("SIGINT", () => reject(new UsageError("given up")));
      lines.once("line", resolve);
      lines.once("close", () => resolve(""));
    });
  } finally {
    lines.close();
    process.stderr.write("\n");
  }
}
