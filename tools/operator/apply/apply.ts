import * as z from "zod";
import { MailError } from "../../../src/mail/error.ts";
import { operator, text } from "../../../src/mail/text.ts";
import { defineTool } from "../../call/tool.ts";
import { addPlanned, told } from "../import/import.ts";
import { type ApplyInput, type ApplyPlan, applyFields, applyOutcomes, planApply } from "./plan.ts";

const Step = z.object({ name: z.string(), outcome: z.enum(applyOutcomes), reason: z.string().optional() });

const shared = {
  input: z.strictObject(applyFields),
  output: z.object({
    domains: z.array(Step),
    mailboxes: z.array(Step).describe("In the order of the input, then those that are not in it."),
    revision: z.int(),
  }),
};

/** Plans an apply and changes nothing. */
export const planApplyTool = defineTool({
  endpoint: "plan-apply",
  title: "Plan an apply",
  description: "Tells what an apply would do with each domain and mailbox.",
  effect: "read",
  ...shared,
  async run({ tables }, input) {
    return told(tables, await planApply(tables, input as ApplyInput));
  },
});

/** Reaches the wanted state in one transaction, or changes nothing. */
export const apply = defineTool({
  endpoint: "apply",
  title: "Apply a file of domains and mailboxes",
  description:
    "Makes domains and mailboxes as a file says. What the file does not name stays, unless prune is true.",
  effect: "write",
  ...shared,
  async run({ tables, at }, input) {
    const { plan_revision } = input;
    if (plan_revision !== undefined && plan_revision !== (await tables.state.revision())) throw outdated();
    const plan = await planApply(tables, input as ApplyInput);
    refuseWithoutAll(plan);
    const { domains, mailboxes } = plan;
    await addPlanned(tables, at, {
      domains: domains.filter(({ outcome }) => outcome === "added").map(({ name }) => name),
      users: mailboxes.flatMap(({ added }) => added ?? []),
    });
    for (const { changed } of mailboxes)
      if (changed !== undefined) await tables.users.update(changed.user, changed.change, at);
    for (const { removed } of domains) if (removed !== undefined) await tables.domains.remove(removed, at);
    return told(tables, plan);
  },
});

function outdated(): MailError {
  return new MailError(
    "busy",
    "Something else has changed domains or mailboxes since the plan was made.",
    "Nothing was changed. Run it again, and look at the new plan.",
  );
}

function refuseWithoutAll({ domains, mailboxes }: ApplyPlan): void {
  const refused = [...domains, ...mailboxes].filter(({ outcome }) => outcome === "refused");
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
