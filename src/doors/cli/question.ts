import { createInterface } from "node:readline";
import { UsageError } from "../../command-line/usage-error.ts";

/**
 * Asks the person at the terminal.
 *
 * @param otherwise the message if nobody can be asked
 * @throws UsageError without a yes
 */
export async function confirm(question: string, otherwise: string): Promise<void> {
  if (!process.stdin.isTTY) throw new UsageError(otherwise);
  const lines = createInterface({ input: process.stdin, output: process.stderr, terminal: true });
  try {
    const answer = await new Promise<string>((resolve) => {
      for (const event of ["SIGINT", "close"]) lines.once(event, () => resolve(""));
      lines.question(`${question} [y/N] `, resolve);
    });
    if (!/^y(es)?$/i.test(answer.trim())) throw new UsageError("Nothing was changed.");
  } finally {
    lines.close();
  }
}
