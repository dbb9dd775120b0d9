import { hash } from "node:crypto";
import * as z from "zod";
import type { AddressParts } from "../../db/aliases/rows.ts";
import type { Tables } from "../../db/store.ts";
import { MailError } from "../../src/mail/error.ts";
import { AliasAddress, DomainName, EmailAddress } from "../../src/mail/schemas.ts";
import { operator, text } from "../../src/mail/text.ts";
import { defineTool } from "../call/tool.ts";
import { liveFields, liveness } from "../nodes/liveness.ts";

const MOST_WAITING = 1000;
/** Addresses beside one that waits: enough to see what is asked. */
const MOST_NAMED = 20;

/** The most targets of an alias. */
const MOST_TARGETS = 100;

export const approveAlias = defineTool({
  endpoint: "approve-alias",
  title: "Approve an alias's targets outside",
  description: "Lets mail of an alias go to addresses that are not hosted here.",
  effect: "write",
  input: z.strictObject({
    address: AliasAddress,
    targets: z.array(EmailAddress).max(MOST_TARGETS).describe("Those that wait and are approved."),
    seen: z.string().max(16).optional().describe("seenOf() them, as the person saw them."),
  }),
  output: z.object({ address: z.string(), approved: z.array(z.string()), ...liveFields }),
  async run(context, { address, targets, seen }) {
    const { tables, at } = context;
    const { alias, waiting } = await waitingFor(tables, address, targets);
    if (seen !== undefined && seen !== seenOf(await toldWaiting(tables, MOST_WAITING, { address, targets })))
      throw changed();
    await tables.aliases.approvals.approve(alias, waiting, at);
    const approved = waiting.map(({ email }) => email);
    return { address: alias.address, approved, ...(await liveness(context, alias.domain)) };
  },
});

export const refuseAlias = defineTool({
  endpoint: "refuse-alias",
  title: "Refuse an alias's targets outside",
  description:
    "Takes targets that wait for approval out of an alias, and removes an alias that has no others.",
  effect: "write",
  input: z.strictObject({
    address: AliasAddress,
    target: EmailAddress.optional().describe("Only this target; by default all that wait."),
  }),
  output: z.object({
    address: z.string(),
    refused: z.array(z.string()),
    removed: z.boolean().describe("true: the alias had no other targets, and is gone."),
    ...liveFields,
  }),
  async run(context, { address, target }) {
    const { tables, at } = context;
    const { alias, waiting } = await waitingFor(tables, address, target && [target]);
    await tables.aliases.approvals.refuse(alias, waiting, at);
    const refused = waiting.map(({ email }) => email);
    const removed = refused.length === alias.targets.length;
    return { address: alias.address, refused, removed, ...(await liveness(context, alias.domain)) };
  },
});

/** An alias, and its targets that wait: these, or all. @throws MailError alias_not_found if none does, or one of these does not */
async function waitingFor(
  tables: Tables,
  address: AddressParts,
  targets: readonly AddressParts[] | undefined,
) {
  const alias = await tables.aliases.get(address);
  const names = targets && new Set(targets.map(({ email }) => email));
  const waiting = alias.targets.filter(
    ({ standing, email }) => standing === "waiting" && (names?.has(email) ?? true),
  );
  if (waiting.length > 0 && waiting.length === (names?.size ?? waiting.length)) return { alias, waiting };
  const approved = alias.targets
    .filter(({ standing, email }) => standing === "approved" && (!names?.size || names.has(email)))
    .map(({ email }) => email);
  throw new MailError(
    "alias_not_found",
    waiting.length > 0
      ? `Not all of these targets of ${alias.address} wait for approval.`
      : approved.length > 0
        ? `No target of ${alias.address} waits: ${approved.join(", ")} is approved already.`
        : `No such target of ${alias.address} waits for approval.`,
    text`Nothing was changed. See those that wait: ${operator("alias list-waiting")}.`,
  );
}

export const listWaitingAliases = defineTool({
  endpoint: "list-waiting-aliases",
  title: "List targets that wait for approval",
  description:
    "Lists targets of aliases that are not hosted here, or whose own aliases lead outside, and that nobody has approved yet.",
  effect: "read",
  ofAllDomains: true,
  input: z.strictObject({
    address: AliasAddress.optional().describe("Only this alias's."),
    targets: z.array(EmailAddress).max(MOST_TARGETS).optional().describe("Only these targets."),
    limit: z.int().min(1).max(MOST_WAITING).default(MOST_WAITING),
  }),
  output: z.object({
    waiting: z.array(
      z.object({
        alias: z.string(),
        target: z.string(),
        leads_to: z.array(z.string()).describe("Who gets the target's mail, if it is an alias itself."),
        also_from: z.array(z.string()).describe("Other aliases whose mail would go there, too."),
      }),
    ),
  }),
  async run({ tables }, { limit, ...only }) {
    return { waiting: await toldWaiting(tables, limit, only) };
  },
});

async function toldWaiting(
  { aliases }: Tables,
  limit: number,
  only: Parameters<Tables["aliases"]["approvals"]["waiting"]>[1],
) {
  const waiting = await aliases.approvals.waiting(limit, only);
  return waiting.map(({ alias, target, through, from }) => ({
    alias,
    target,
    leads_to: through.slice(0, MOST_NAMED),
    also_from: from.slice(0, MOST_NAMED),
  }));
}

/** Differs once one of these targets leads elsewhere, or other aliases' mail goes along. */
export function seenOf(waiting: Awaited<ReturnType<typeof toldWaiting>>): string {
  return hash("sha256", JSON.stringify(waiting)).slice(0, 16);
}

function changed(): MailError {
  return new MailError(
    "busy",
    "These targets have changed since they were shown.",
    text`Nothing was approved. Look at them again: ${operator("alias list-waiting")}.`,
  );
}

export const setApprovedDomains = defineTool({
  endpoint: "set-approved-domains",
  title: "Domains to which aliases may lead without approval",
  description:
    "Lists, adds to and removes from the domains elsewhere whose addresses need no approval as targets. It counts for targets that are set from then on.",
  effect: "write",
  ofAllDomains: true,
  input: z.strictObject({ add: DomainName.optional(), remove: DomainName.optional() }),
  output: z.object({ domains: z.array(z.string()) }),
  async run({ tables }, { add, remove }) {
    if (add !== undefined) await tables.aliases.approvals.addDomain(add);
    if (remove !== undefined) await tables.aliases.approvals.removeDomain(remove);
    return { domains: await tables.aliases.approvals.domains() };
  },
});

export const setPostmaster = defineTool({
  endpoint: "set-postmaster",
  title: "Set or show who gets postmaster@ and abuse@",
  description:
    "Sets or shows the address that gets the mail of postmaster@ and abuse@ of every domain, except where a mailbox or alias has that name.",
  effect: "write",
  ofAllDomains: true,
  input: z.strictObject({
    address: z
      .union([z.literal("none"), EmailAddress])
      .optional()
      .describe("An address, here or elsewhere; or none. Without it, nothing changes."),
  }),
  output: z.object({ address: z.string().nullable(), revision: z.int() }),
  async run({ tables, at }, { address }) {
    if (address === undefined) {
      const present = (await tables.aliases.shared()) ?? null;
      return { address: present, revision: await tables.state.revision() };
    }
    const target = address === "none" ? undefined : address;
    if (target !== undefined) {
      const isOurs = (await tables.domains.find(target.domain)) !== undefined;
      if (isOurs && (await tables.aliases.find(target)) === undefined) await tables.users.get(target);
    }
    await tables.aliases.setShared(target, at);
    return { address: target?.email ?? null, revision: await tables.state.revision() };
  },
});
