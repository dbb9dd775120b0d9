import { call, type Runtime } from "../../../tools/call/call.ts";
import { operator } from "../../../tools/call/principal.ts";
import type { Tool } from "../../../tools/call/tool.ts";
import { removeDomain } from "../../../tools/remove-domain.ts";
import { styled, terminalOf } from "../../command-line/terminal.ts";
import type { MailError } from "../../mail/error.ts";
import { wordedResult } from "../result.ts";
import { exitCodeOf, exitCodes } from "./exit.ts";
import { OutputFailure, refuseClosedStdout, writeOut } from "./output.ts";
import { atTheShell } from "./wording.ts";

/** Advice after a secret that is shown once could not be shown. */
const lostSecret: Readonly<Record<string, string>> = {
  "create-token":
    "The token was created, but nobody has it: end it with m25-mail token revoke NAME, and create another.",
  "add-node":
    "The node is registered, but nobody has its key. Make another key with m25-mail node rotate-key NAME, or remove the node with m25-mail node remove NAME.",
  "rotate-key":
    "The key was created, but nobody has it. m25-mail node rotate-key NAME makes another, and ends this one.",
  "invite-user":
    "The mailbox was created, but nobody has its link. m25-mail call create-password-link --email EMAIL --kind first makes another, and ends this one.",
  "create-password-link":
    "The link was created, but nobody has it. m25-mail call create-password-link makes another, and ends this one.",
};

interface Presentation {
  present(result: Record<string, unknown>): string;
  /** The names of fields at the shell, if they differ from the flag of the same name. */
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
    // If no server runs, nothing else erases the domain's hidden records.
    if (tool === removeDomain) await runtime.store.eraseHidden();
    return code;
  }
  return showRefusal(outcome.error, { password: "password", ...words });
}

/** The result of a tool that runs as the operator. @throws MailError its refusal */
export async function resultOf(
  runtime: Runtime,
  tool: Tool,
  input: Record<string, unknown>,
): Promise<Record<string, unknown>> {
  const outcome = await call(runtime, { principal: operator("cli"), tool, input });
  if (!outcome.ok) throw outcome.error;
  return outcome.value;
}

/** @throws OutputFailure if no secret is lost by it */
async function show({ endpoint }: Tool, text: string): Promise<number> {
  const advice = lostSecret[endpoint];
  try {
    if (advice !== undefined) refuseClosedStdout();
    await writeOut(text);
    return exitCodes.done;
  } catch (error) {
    if (!(error instanceof OutputFailure) || advice === undefined) throw error;
    process.stderr.write(`${error.message}\n${advice}\n`);
    return exitCodes.output;
  }
}

/** Shows a refusal on stderr, in the words of the command line, and returns its exit code. */
export function showRefusal(error: MailError, words: Readonly<Record<string, string>> = {}): number {
  const { code, detail, hint } = error;
  const said = styled(code, "red", terminalOf(process.stderr));
  process.stderr.write(`${said}: ${atTheShell(detail, words)}\n${atTheShell(hint, words)}\n`);
  return exitCodeOf(error);
}
