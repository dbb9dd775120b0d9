import * as z from "zod";
import type { Tables } from "../../../db/store.ts";
import type { NewUser } from "../../../db/users/users.ts";
import { defineTool } from "../../call/tool.ts";
import { type ImportInput, importFields, outcomes, planImport } from "./plan.ts";

const Planned = z.object({ name: z.string(), outcome: z.enum(outcomes), reason: z.string().optional() });

const shared = {
  input: z.strictObject(importFields),
  output: z.object({
    domains: z.array(Planned),
    mailboxes: z.array(Planned).describe("In the order of the input."),
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
    return told(tables, await planImport(tables, input as ImportInput));
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
    return told(tables, plan);
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

/** What an import or an apply tells of its plan: without what is written. */
export async function told<Outcome extends string>(
  tables: Tables,
  { domains, mailboxes }: Record<"domains" | "mailboxes", readonly Told<Outcome>[]>,
) {
  const plain = ({ name, outcome, reason }: Told<Outcome>): Told<Outcome> => ({
    name,
    outcome,
    ...(reason !== undefined && { reason }),
  });
  return {
    domains: domains.map(plain),
    mailboxes: mailboxes.map(plain),
    revision: await tables.state.revision(),
  };
}

interface Told<Outcome extends string> {
  name: string;
  outcome: Outcome;
  reason?: string;
}
