import { readFileSync } from "node:fs";
import { createInterface } from "node:readline";
import { Writable } from "node:stream";
import { UsageError } from "../../config.ts";

/**
 * A password from a file, a prompt or one line of standard input, without its line end: never from the
 * command line.
 *
 * @throws UsageError
 */
export async function readPassword(file: string | undefined): Promise<string> {
  if (file !== undefined) return onlyLine(file);
  if (process.stdin.isTTY) return prompt("Password: ");
  let text = "";
  process.stdin.setEncoding("utf8");
  for await (const chunk of process.stdin) {
    text += chunk;
    if (text.includes("\n") || text.length > 10_000) break;
  }
  return firstLine(text);
}

/** A second line may be what somebody took for a part of the password, or another file's content. */
function onlyLine(file: string): string {
  const [password = "", ...more] = readFile(file).split(/\r?\n/);
  if (more.length < 2 && (more[0] ?? "") === "") return password;
  throw new UsageError(
    `The password file ${file} has more than one line: the password is to be the only one.`,
  );
}

function readFile(file: string): string {
  try {
    return readFileSync(file, "utf8");
  } catch {
    throw new UsageError(`The password file ${file} cannot be read.`);
  }
}

function firstLine(text: string): string {
  return text.split(/\r?\n/, 1)[0] ?? "";
}

/** Asks on the terminal without showing what is typed. */
function prompt(question: string): Promise<string> {
  const muted = new Writable({ write: (_chunk, _encoding, done) => done() });
  const lines = createInterface({ input: process.stdin, output: muted, terminal: true });
  process.stderr.write(question);
  return new Promise((resolve, reject) => {
    lines.once("SIGINT", () => reject(new UsageError("Given up.")));
    lines.once("line", resolve);
    lines.once("close", () => resolve(""));
  }).finally(() => {
    lines.close();
    process.stderr.write("\n");
  }) as Promise<string>;
}
