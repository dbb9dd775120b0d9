import { readFileSync } from "node:fs";
import { firstInputLine, promptSecret } from "../../command-line/secret-input.ts";
import { UsageError } from "../../command-line/usage-error.ts";
import { isRepaired, textOf } from "../utf8.ts";

/**
 * Reads a password from a file, a prompt or one line of standard input, without its line end; never from the
 * command line. At the prompt it is typed twice.
 *
 * @throws UsageError
 */
export async function readPassword(file: string | undefined): Promise<string> {
  if (file !== undefined) return present(onlyLine(file), `The password file ${file} is empty.`);
  if (!process.stdin.isTTY) {
    const line = utf8(await firstInputLine(), "The password on standard input").replace(/\r$/, "");
    return present(line, "Standard input has no password: pipe it in, or use --password-file FILE.");
  }
  const typed = await promptSecret("Password: ");
  if (isRepaired(typed)) throw new UsageError("The password is not valid UTF-8.");
  if (typed !== (await promptSecret("The same again: "))) {
    throw new UsageError("The two passwords differ. Nothing was changed.");
  }
  return typed;
}

/** @throws UsageError if there is no password */
function present(password: string, lacking: string): string {
  if (password === "") throw new UsageError(lacking);
  return password;
}

/** Refuses a second line: it may be meant as a part of the password, or the file is the wrong one. */
function onlyLine(file: string): string {
  const [password = "", ...more] = readFile(file).split(/\r?\n/);
  if (more.length < 2 && (more[0] ?? "") === "") return password;
  throw new UsageError(`The password file ${file} has more than one line. It must hold the password alone.`);
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
