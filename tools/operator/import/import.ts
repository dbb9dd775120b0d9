import * as z from "zod";
import type { Tables } from "../../../db/store.ts";
import type { NewUser } from "../../../db/users/users.ts";
import { defineTool } from "../../call/tool.ts";
import { outcomes } from "./outcome.ts";
import { type ImportInput, importFields, planImport } from "./plan.ts";

const Planned = z.object({ name: z.string(), outcome: z.enum(outcomes), reason: z.string().optional() });

const shared = {
  input: z.strictObject(importFields),
  output: z.object({
    domains: z.array(Planned),
    mailboxes: z.array(Planned).describe("In the order of the input."),
    domain_aliases: z.array(Planned),
    aliases: z.array(Planned).describe("In the order of the input."),
    waiting_targets: z.int().describe("Targets elsewhere that wait for approval."),
    revision: z.int(),
  }),
};

/** Plans an import and changes nothing. */
export const planImportTool = defineTool({
  endpoint: "plan-import",
  title: "Plan an import",
  description: "Tells what an import would do with each domain and mailbox.",
  effect: "read",
  ...shared,
  async run({ tables }, input) {
    return resultOf(tables, await planImport(tables, input as ImportInput));
  },
});

/**
 * Adds another system's domains and mailboxes in one transaction: nodes see all of it or nothing.
 */
export const importMailboxes = defineTool({
  endpoint: "import",
  title: "Import domains and mailboxes",
  description:
    "Adds domains and mailboxes of another mail system with their hashes. Changes nothing that exists.",
  effect: "write",
  ...shared,
  async run({ tables, at }, input) {
    const plan = await planImport(tables, input as ImportInput);
    await addPlanned(tables, at, {
      domains: plan.domains.filter(({ outcome }) => outcome === "taken").map(({ name }) => name),
      users: plan.mailboxes.map(({ user }) => user).filter((user) => user !== undefined),
    });
    for (const { name, of, outcome } of plan.domainAliases)
      if (outcome === "taken") await tables.domainAliases.set(name, await tables.domains.get(of), at);
    const added = plan.aliases.flatMap(({ alias }) => alias ?? []);
    await tables.manyAliases.putAll({ added, changed: [] }, at);
    return resultOf(tables, plan);
  },
});

/** Adds domains, then mailboxes, none of which exists. */
export async function addPlanned(
  tables: Tables,
  at: string,
  { domains, users }: { domains: readonly string[]; users: readonly NewUser[] },
): Promise<void> {
  if (domains.length > 0) await tables.domains.addAll(domains, at);
  if (users.length > 0) await tables.users.addAll(users, at);
}

/** The outcome for one domain, mailbox or alias. */
interface Told<Outcome extends string> {
  name: string;
  outcome: Outcome;
  reason?: string;
}

interface Plan<Outcome extends string> {
  domains: readonly Told<Outcome>[];
  mailboxes: readonly Told<Outcome>[];
  domainAliases: readonly Told<Outcome>[];
  aliases: ReadonlyArray<Told<Outcome> & { waiting?: number }>;
}

/** The result of an import or an apply, from its plan: outcomes and reasons, without the records to write. */
export async function resultOf<Outcome extends string>(tables: Tables, plan: Plan<Outcome>) {
  const told = (all: readonly Told<Outcome>[]): Told<Outcome>[] =>
    all.map(({ name, outcome, reason }) => ({ name, outcome, ...(reason !== undefined && { reason }) }));
  return {
    domains: told(plan.domains),
    mailboxes: told(plan.mailboxes),
    revision: await tables.state.revision(),
    domain_aliases: told(plan.domainAliases),
    aliases: told(plan.aliases),
    waiting_targets: plan.aliases.reduce((sum, { waiting = 0 }) => sum + waiting, 0),
  };
}
