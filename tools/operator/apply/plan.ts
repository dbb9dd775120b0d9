import * as z from "zod";
import type { Domain } from "../../../db/domains/domains.ts";
import type { Tables } from "../../../db/store.ts";
import type { User } from "../../../db/users/rows.ts";
import type { NewUser } from "../../../db/users/users.ts";
import { DomainName, defaultQuotaMb, QuotaMb } from "../../../src/mail/schemas.ts";
import { withPassword } from "../../call/login.ts";
import { type AliasInput, aliasFields } from "../import/aliases.ts";
import { type Planned, REGISTERED } from "../import/outcome.ts";
import { ImportedMailbox, planDomains, planMailboxes, withoutRefusedHashes } from "../import/plan.ts";
import {
  type AliasStep,
  type DomainAliasStep,
  planAliasSteps,
  removedAlias,
  removedDomainAlias,
  unnamedAliases,
} from "./aliases.ts";
import { refused, type Step } from "./step.ts";

/** A mailbox that shall be there. Fields that are absent stay as they are. */
const WantedMailbox = ImportedMailbox.extend({
  password: ImportedMailbox.shape.password.optional(),
  quota_mb: QuotaMb.optional(),
});

export const applyFields = {
  ...aliasFields,
  file: z.string().describe("Its name."),
  mailbox_count: z.int().describe("For the audit log, which has none of the mailboxes."),
  domains: z.array(DomainName),
  prune: z
    .boolean()
    .default(false)
    .describe("Soft-deletes other mailboxes, and removes other aliases, domain aliases and empty domains."),
  plan_revision: z.int().optional().describe("Refuse if this is no longer the revision."),
  mailboxes_with_passwords: z.array(WantedMailbox).meta({ writeOnly: true }),
};

export interface ApplyInput extends AliasInput {
  domains: readonly string[];
  prune: boolean;
  mailboxes_with_passwords: readonly z.output<typeof WantedMailbox>[];
}
export type WantedMailbox = z.input<typeof WantedMailbox>;

type UserChange = Partial<Pick<User, "passwordHash" | "heldHash" | "quotaMb" | "active">>;

/** A planned mailbox, with what is to be written. */
interface MailboxStep extends Step {
  added?: NewUser;
  changed?: { user: User; change: UserChange };
}

interface DomainStep extends Step {
  removed?: Domain;
}

export interface ApplyPlan {
  domains: DomainStep[];
  mailboxes: MailboxStep[];
  domainAliases: DomainAliasStep[];
  aliases: AliasStep[];
}

/** Plans how to reach the wanted state. It changes nothing. */
export async function planApply(tables: Tables, input: ApplyInput): Promise<ApplyPlan> {
  const wanted = await withoutRefusedHashes(tables, input.mailboxes_with_passwords);
  const listed = await planDomains(tables, {
    domains: input.domains.map((name) => ({ name })),
    mailboxes_with_passwords: [],
  });
  const planned = planMailboxes(
    {
      domains: [],
      mailboxes_with_passwords: wanted.map((mailbox) => ({
        ...mailbox,
        password: mailbox.password ?? { problem: NO_HASH },
        quota_mb: mailbox.quota_mb ?? defaultQuotaMb,
      })),
    },
    listed,
  );
  const existing = await tables.users.existing(planned.flatMap(({ user }) => user ?? []));
  const mailboxes = planned.map(({ name, reason, user }, at): MailboxStep => {
    const mailbox = wanted[at];
    if (user === undefined || mailbox === undefined) return refused(name, reason);
    if (mailbox.password !== undefined && "problem" in mailbox.password)
      return refused(name, mailbox.password.problem);
    const former = existing.get(name);
    if (former !== undefined) return compared(former, mailbox);
    return mailbox.password === undefined ? refused(name, NO_HASH) : { name, outcome: "added", added: user };
  });
  const domains = [...listed.values()].map(domainStep);
  const users = mailboxes.flatMap(({ added }) => added ?? []);
  const present = { domains: listed, users };
  if (!input.prune) return { domains, mailboxes, ...(await planAliasSteps(tables, input, present)) };
  const others = await tables.users.activeExcept(planned.map(({ name }) => name));
  const prunedDomains = (await tables.domains.except(input.domains)).map(pruned);
  const unnamed = await unnamedAliases(tables, input);
  const gone = new Set([
    ...prunedDomains.filter(({ removed }) => removed !== undefined).map(({ name }) => name),
    ...unnamed.domainAliases.map(({ name }) => name),
    ...unnamed.aliases.map(({ address }) => address),
  ]);
  const wantedAliases = await planAliasSteps(tables, input, { ...present, gone });
  return {
    domains: [...domains, ...prunedDomains],
    mailboxes: [...mailboxes, ...others.map(softDeleted)],
    domainAliases: [...wantedAliases.domainAliases, ...unnamed.domainAliases.map(removedDomainAlias)],
    aliases: [...wantedAliases.aliases, ...unnamed.aliases.map(removedAlias)],
  };
}

const NO_HASH =
  "it is new and has no password_hash: give one, or create the mailbox first with m25-mail user add";

function domainStep({ name, outcome, reason }: Planned): DomainStep {
  if (outcome === "taken") return { name, outcome: "added" };
  return reason === REGISTERED ? { name, outcome: "unchanged" } : refused(name, reason);
}

/** A domain that the input lacks. Its aliases and domain aliases go, because the input cannot have them either. */
function pruned(domain: Domain): DomainStep {
  const { name, userCount, inactiveUserCount } = domain;
  if (userCount + inactiveUserCount === 0) return { name, outcome: "removed", removed: domain };
  const reason = "it has mailboxes, active or soft-deleted; m25-mail domain remove removes it for good";
  return { name, outcome: "kept", reason };
}

function softDeleted(user: User): MailboxStep {
  return {
    name: user.email,
    outcome: "removed",
    reason: "soft-deleted",
    changed: { user, change: { active: false } },
  };
}

/** The step from a mailbox to the wanted one. */
function compared(
  user: User,
  { password, quota_mb, active }: ApplyInput["mailboxes_with_passwords"][number],
) {
  const change: UserChange = {};
  const reasons: string[] = [];
  if (user.active !== active) {
    change.active = active;
    reasons.push(active ? "restored" : "soft-deleted");
  }
  if (quota_mb !== undefined && quota_mb !== user.quotaMb) {
    change.quotaMb = quota_mb;
    reasons.push(`quota ${user.quotaMb} to ${quota_mb} MiB`);
  }
  if (
    password !== undefined &&
    "hash" in password &&
    password.hash !== (user.heldHash ?? user.passwordHash)
  ) {
    Object.assign(change, withPassword(user, password.hash));
    reasons.push("new password");
  }
  if (reasons.length === 0) return { name: user.email, outcome: "unchanged" as const };
  const outcome = user.active && !active ? "removed" : "changed";
  return { name: user.email, outcome, reason: reasons.join(", "), changed: { user, change } } as const;
}
