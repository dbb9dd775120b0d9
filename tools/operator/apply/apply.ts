import * as z from "zod";
import { MailError } from "../../../src/mail/error.ts";
import { operator, text } from "../../../src/mail/text.ts";
import { defineTool } from "../../call/tool.ts";
import { addPlanned, resultOf } from "../import/import.ts";
import { type ApplyInput, type ApplyPlan, applyFields, planApply } from "./plan.ts";
import { applyOutcomes } from "./step.ts";

const Step = z.object({ name: z.string(), outcome: z.enum(applyOutcomes), reason: z.string().optional() });

const shared = {
  input: z.strictObject(applyFields),
  output: z.object({
    domains: z.array(Step),
    mailboxes: z.array(Step).describe("In the order of the input, then those that are not in it."),
    domain_aliases: z.array(Step),
    aliases: z.array(Step).describe("In the order of the input, then those that are not in it."),
    waiting_targets: z
      .int()
      .describe("Targets elsewhere, of aliases that are new or change, that wait for approval."),
    revision: z.int(),
  }),
};

/** Plans an apply and changes nothing. */
export const planApplyTool = defineTool({
  endpoint: "plan-apply",
  title: "Plan an apply",
  description: "Tells what an apply would do with each domain, mailbox and alias.",
  effect: "read",
  ...shared,
  async run({ tables }, input) {
    return resultOf(tables, await planApply(tables, input as ApplyInput));
  },
});

/** Reaches the wanted state in one transaction, or changes nothing. */
export const apply = defineTool({
  endpoint: "apply",
  title: "Apply a file of domains, mailboxes and aliases",
  description: "Makes domains, mailboxes and aliases as a file says. Others stay, unless prune is true.",
  effect: "write",
  ...shared,
  async run({ tables, at }, input) {
    const { plan_revision } = input;
    if (plan_revision !== undefined && plan_revision !== (await tables.state.revision())) throw outdated();
    const plan = await planApply(tables, input as ApplyInput);
    refuseWithoutAll(plan);
    const { domains, mailboxes, domainAliases, aliases } = plan;
    for (const { removed } of aliases) if (removed !== undefined) await tables.aliases.remove(removed, at);
    for (const { name, removed } of domainAliases)
      if (removed !== undefined) await tables.domainAliases.remove(name, at);
    await addPlanned(tables, at, {
      domains: domains.filter(({ outcome }) => outcome === "added").map(({ name }) => name),
      users: mailboxes.flatMap(({ added }) => added ?? []),
    });
    for (const { changed } of mailboxes)
      if (changed !== undefined) await tables.users.update(changed.user, changed.change, at);
    for (const { set } of domainAliases)
      if (set !== undefined) await tables.domainAliases.set(set.name, await tables.domains.get(set.of), at);
    const [added, changed] = (["added", "changed"] as const).map((key) =>
      aliases.flatMap((one) => one[key] ?? []),
    );
    await tables.manyAliases.putAll({ added: added ?? [], changed: changed ?? [] }, at);
    for (const { removed } of domains) if (removed !== undefined) await tables.domains.remove(removed, at);
    return resultOf(tables, plan);
  },
});

function outdated(): MailError {
  return new MailError(
    "busy",
    "Something else has changed domains, mailboxes or aliases since the plan was made.",
    "Nothing was changed. Run it again, and look at the new plan.",
  );
}

function refuseWithoutAll({ domains, mailboxes, domainAliases, aliases }: ApplyPlan): void {
  const refused = [...domains, ...mailboxes, ...domainAliases, ...aliases].filter(
    ({ outcome }) => outcome === "refused",
  );
  const [first] = refused;
  if (first === undefined) return;
  const others = refused.length - 1;
  const more =
    others === 0 ? "" : ` ${others === 1 ? "1 more entry is" : `${others} more entries are`} refused.`;
  throw new MailError(
    "invalid_input",
    `The file cannot be applied. ${first.name}: ${first.reason}.${more}`,
    text`Nothing was changed. See all of them with ${operator("apply FILE --dry-run")}.`,
  );
}
