import { firstInputLine } from "../../command-line/secret-input.ts";
import { UsageError } from "../../command-line/usage-error.ts";

/**
 * Asks the person at the terminal.
 *
 * @param otherwise the message if nobody can be asked
 * @throws UsageError without a yes
 */
export async function confirm(question: string, otherwise: string): Promise<void> {
  if (!process.stdin.isTTY) throw new UsageError(otherwise);
  process.stderr.write(`${question} [y/N] `);
  const answer = (await firstInputLine()).toString("utf8").trim();
  if (!/^y(es)?$/i.test(answer)) throw new UsageError("Nothing was changed.");
}
