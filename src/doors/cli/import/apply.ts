import { basename } from "node:path";
import * as z from "zod";
import type { Runtime } from "../../../../tools/call/call.ts";
import type { WantedMailbox } from "../../../../tools/operator/apply/plan.ts";
import type { Step } from "../../../../tools/operator/apply/step.ts";
import { operatorTools } from "../../../../tools/operator/index.ts";
import { printable } from "../../../log/printable.ts";
import { QuotaMb } from "../../../mail/schemas.ts";
import { parseStored } from "../../../mail/stored-hash.ts";
import { parseArguments } from "../arguments.ts";
import { exitCodes } from "../exit.ts";
import { writeOut } from "../output.ts";
import { confirm } from "../question.ts";
import { resultOf } from "../run-tool.ts";
import type { StoreCommand } from "../store-command.ts";
import type { Usage } from "../usage.ts";
import { waitingLine } from "./report.ts";
import { readSource, type SourceFile, unreadable } from "./source.ts";

const Wanted = z.strictObject({
  domains: z.array(z.string()).default([]),
  mailboxes: z
    .array(
      z.strictObject({
        email: z.string(),
        password_hash: z.string().optional(),
        quota_mb: QuotaMb.optional(),
        active: z.boolean().default(true),
      }),
    )
    .default([]),
  aliases: z
    .array(
      z.strictObject({
        address: z.string(),
        targets: z.array(z.string()),
        send_as: z.boolean().default(false),
      }),
    )
    .default([]),
  domain_aliases: z.array(z.strictObject({ domain: z.string(), of: z.string() })).default([]),
});
type Wanted = z.output<typeof Wanted>;

interface Steps {
  domains: readonly Step[];
  mailboxes: readonly Step[];
  domain_aliases: readonly Step[];
  aliases: readonly Step[];
  waiting_targets: number;
  revision: number;
}

/** Makes domains, mailboxes and aliases as a file says. */
export function applyCommand(usage: Usage, argv: readonly string[]): StoreCommand {
  const { values, positionals } = parseArguments(usage, argv);
  const [path = ""] = positionals;
  const prune = values.prune === true;
  return {
    values,
    async run(runtime) {
      const wanted = await wantedIn(readSource(path));
      const approve_outside = values["approve-outside"] === true;
      const input = { file: basename(path), ...inputOf(wanted), approve_outside, prune };
      const isDry = values["dry-run"] === true;
      let steps: Steps | undefined;
      if (isDry || prune) steps = await operate(runtime, "planApply", input);
      if (!isDry) {
        if (steps !== undefined && values.yes !== true) await confirmRemovals(steps);
        const planned = steps && { plan_revision: steps.revision };
        steps = await operate(runtime, "apply", { ...input, ...planned });
      }
      if (steps !== undefined) await writeOut(reportOf(steps, { isDry, asJson: values.json === true }));
      return exitCodes.done;
    },
  };
}

/** @throws MailError invalid_input, which repeats nothing of the file: it has hashes */
async function wantedIn({ name, text }: SourceFile): Promise<Wanted> {
  const { parse } = await import("yaml");
  const isJson = name.endsWith(".json");
  let document: unknown;
  try {
    document = isJson ? JSON.parse(text) : parse(text, { logLevel: "error" }); // a warning quotes its line
  } catch (error) {
    const [{ line = undefined } = {}] = (error as { linePos?: { line: number }[] }).linePos ?? [];
    throw unreadable(
      name,
      `it is not valid ${isJson ? "JSON" : "YAML"}${line === undefined ? "" : ` in line ${line}`}.`,
      FORM,
    );
  }
  const read = Wanted.safeParse(document ?? {});
  if (read.success) return read.data;
  const [issue] = read.error.issues;
  const [list, at, field] = issue?.path ?? [];
  const place = [name, ...(list === undefined ? [] : [String(list)])].join(", ");
  const entry = typeof at === "number" ? `, entry ${at + 1}` : "";
  if (issue?.code === "unrecognized_keys") {
    const hint = issue.keys.includes("password")
      ? "A password in clear text is not taken: give password_hash, or create the mailbox with m25-mail user add."
      : FORM;
    throw unreadable(`${place}${entry}`, "there is an unknown field.", hint);
  }
  const what = typeof field === "string" ? field : "it";
  throw unreadable(`${place}${entry}`, `${what} is missing, or of the wrong kind.`, FORM);
}

const FORM =
  "It has a list `domains` of names, and lists `mailboxes` (email, password_hash, quota_mb, active), `aliases` (address, targets, send_as) and `domain_aliases` (domain, of).";

function inputOf({ domains, mailboxes, aliases, domain_aliases }: Wanted) {
  return {
    domain_aliases: domain_aliases.map(({ domain, of }) => ({ name: domain, of })),
    alias_count: aliases.length,
    all_aliases: aliases.map((alias, at) => ({ ...alias, place: `aliases, entry ${at + 1}` })),
    domains,
    mailbox_count: mailboxes.length,
    mailboxes_with_passwords: mailboxes.map(
      ({ email, password_hash, quota_mb, active }, at): WantedMailbox => {
        const stored = password_hash === undefined ? undefined : parseStored(password_hash);
        const password =
          stored !== undefined && "plain" in stored ? { problem: "its password is in clear text" } : stored;
        return {
          address: email,
          place: `mailboxes, entry ${at + 1}`,
          active,
          ...(password && { password }),
          ...(quota_mb !== undefined && { quota_mb }),
        };
      },
    ),
  };
}

/** @throws MailError a refusal of the tool */
async function operate(
  runtime: Runtime,
  name: "planApply" | "apply",
  input: Record<string, unknown>,
): Promise<Steps> {
  return (await resultOf(runtime, operatorTools[name], input)) as unknown as Steps;
}

/** @throws UsageError if nobody can be asked, or the answer is not yes */
async function confirmRemovals(steps: Steps): Promise<void> {
  const removed = allOf(steps).filter(({ outcome }) => outcome === "removed");
  if (removed.length === 0) return;
  const what = `This removes ${removed.length}: ${removed.map(({ name }) => name).join(", ")}.`;
  await confirm(`${what}\nMailboxes are soft-deleted. Go on?`, `${what} If that is meant, give --yes.`);
}

function allOf({ domains, mailboxes, domain_aliases, aliases }: Steps): Step[] {
  return [...domains, ...domain_aliases, ...mailboxes, ...aliases];
}

/** A line for each domain, mailbox and alias that changes or cannot, then the numbers of mailboxes and aliases. */
function reportOf(steps: Steps, { isDry, asJson }: { isDry: boolean; asJson: boolean }): string {
  const { mailboxes, aliases, waiting_targets, revision, ...others } = steps;
  if (asJson) {
    const result = { ...others, mailboxes, aliases, waiting_targets, ...(!isDry && { revision }) };
    return `${printable(JSON.stringify(result))}\n`;
  }
  const lines = allOf(steps)
    .filter(({ outcome }) => outcome !== "unchanged")
    .map(
      ({ name, outcome, reason }) =>
        `${outcome.padEnd(8)}  ${printable(name)}${reason === undefined ? "" : `: ${reason}`}`,
    );
  lines.push(`Mailboxes: ${numbersOf(mailboxes)}`);
  if (aliases.length > 0) lines.push(`Aliases: ${numbersOf(aliases)}`);
  if (waiting_targets > 0) lines.push(waitingLine(waiting_targets));
  if (isDry) lines.push("Nothing was changed.");
  return `${lines.join("\n")}\n`;
}

function numbersOf(steps: readonly Step[]): string {
  const counts = Map.groupBy(steps, ({ outcome }) => outcome);
  const numbers = [...counts].map(([outcome, those]) => `${outcome} ${those.length}`).join(", ");
  return numbers === "" ? "none" : numbers;
}
