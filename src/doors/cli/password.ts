import { readFileSync } from "node:fs";
import { createInterface } from "node:readline";
import { Writable } from "node:stream";
import { UsageError } from "../../program/config.ts";
import { isRepaired, textOf } from "../utf8.ts";

/**
 * A password from a file, a prompt or one line of standard input, without its line end: never from the
 * command line.
 *
 * @throws UsageError
 */
export async function readPassword(file: string | undefined): Promise<string> {
  if (file !== undefined) return onlyLine(file);
  if (process.stdin.isTTY) return prompt("Password: ");
  const chunks: Buffer[] = [];
  for await (const chunk of process.stdin as AsyncIterable<Buffer>) {
    chunks.push(chunk);
    if (chunk.includes("\n") || Buffer.concat(chunks).length > 10_000) break;
  }
  const [line = ""] = utf8(Buffer.concat(chunks), "The password on standard input").split(/\r?\n/, 1);
  return line;
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
  let bytes: Buffer;
  try {
    bytes = readFileSync(file);
  } catch {
    throw new UsageError(`The password file ${file} cannot be read.`);
  }
  return utf8(bytes, `The password file ${file}`);
}

/** @throws UsageError */
function utf8(bytes: Uint8Array, what: string): string {
  const text = textOf(bytes);
  if (text === undefined) throw new UsageError(`${what} is not valid UTF-8.`);
  return text;
}

/** Asks on the terminal without showing what is typed. */
function prompt(question: string): Promise<string> {
  const muted = new Writable({ write: (_chunk, _encoding, done) => done() });
  const lines = createInterface({ input: process.stdin, output: muted, terminal: true });
  process.stderr.write(question);
  return new Promise((resolve, reject) => {
    lines.once("SIGINT", () => reject(new UsageError("Given up.")));
    lines.once("line", (line) =>
      isRepaired(line) ? reject(new UsageError("The password is not valid UTF-8.")) : resolve(line),
    );
    lines.once("close", () => resolve(""));
  }).finally(() => {
    lines.close();
    process.stderr.write("\n");
  }) as Promise<string>;
}
