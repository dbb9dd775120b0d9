import { firstInputLine, promptSecret } from "../command-line/secret-input.ts";

/** The first line of standard input; on a terminal, asked for on stderr and not shown while it is typed. */
export async function readSecret(question: string): Promise<string> {
  if (process.stdin.isTTY) return promptSecret(question);
  return (await firstInputLine()).toString();
}
