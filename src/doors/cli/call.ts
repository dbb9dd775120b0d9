import { call, type Runtime } from "../../../tools/call.ts";
import { operator } from "../../../tools/principal.ts";
import { removeDomain } from "../../../tools/remove-domain.ts";
import type { Tool } from "../../../tools/tool.ts";
import type { MailError } from "../../mail/error.ts";
import { wordedResult } from "../result.ts";
import { exitCodeOf, exitCodes } from "./exit.ts";
import { OutputFailure, writeOut } from "./output.ts";
import { atTheShell } from "./wording.ts";

/** What to do when a secret that is shown once could not be shown. */
const lostSecret: Readonly<Record<string, string>> = {
  "create-token":
    "The token was made and nobody has it: end it with m25-mail token revoke NAME, and make another.",
  "add-node":
    "The node is registered and nobody has its key: m25-mail node rotate-key NAME gives another, or m25-mail node remove NAME.",
  "rotate-key":
    "The key was made and nobody has it: m25-mail node rotate-key NAME gives another, and ends this one.",
};

interface Presentation {
  present(result: Record<string, unknown>): string;
  /** What fields are called at the shell, where that is not the flag of the same name. */
  words: Readonly<Record<string, string>>;
}

/** Runs a tool as the operator and shows its result on stdout, or its refusal on stderr. */
export async function runTool(
  runtime: Runtime,
  tool: Tool,
  input: Record<string, unknown>,
  { present, words }: Presentation,
): Promise<number> {
  const outcome = await call(runtime, { principal: operator("cli"), tool, input });
  if (outcome.ok) {
    const code = await show(tool, `${present(wordedResult(outcome.value, atTheShell))}\n`);
    // Where no server runs, nobody else erases what it left.
    if (tool === removeDomain) await runtime.store.eraseHidden();
    return code;
  }
  return showRefusal(outcome.error, { password: "password", ...words });
}

/** @throws OutputFailure where no secret is lost by it */
async function show({ endpoint }: Tool, text: string): Promise<number> {
  try {
    await writeOut(text);
    return exitCodes.done;
  } catch (error) {
    const advice = lostSecret[endpoint];
    if (!(error instanceof OutputFailure) || advice === undefined) throw error;
    process.stderr.write(`${error.message}\n${advice}\n`);
    return exitCodes.output;
  }
}

/** Shows a refusal on stderr, in the words of the command line, and gives its exit code. */
export function showRefusal(error: MailError, words: Readonly<Record<string, string>> = {}): number {
  const { code, detail, hint } = error;
  process.stderr.write(`${code}: ${atTheShell(detail, words)}\n${atTheShell(hint, words)}\n`);
  return exitCodeOf(error);
}
