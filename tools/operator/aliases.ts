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

const waitingFields = z.strictObject({
  address: AliasAddress,
  target: EmailAddress.optional().describe("Only this target; by default all that wait."),
});

export const approveAlias = defineTool({
  endpoint: "approve-alias",
  title: "Approve an alias's targets outside",
  description: "Lets mail of an alias go to addresses that are not hosted here.",
  effect: "write",
  input: waitingFields,
  output: z.object({ address: z.string(), approved: z.array(z.string()), ...liveFields }),
  async run(context, { address, target }) {
    const { tables, at } = context;
    const { alias, waiting } = await waitingFor(tables, address, target);
    await tables.aliases.approve(alias, waiting, at);
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
  input: waitingFields,
  output: z.object({
    address: z.string(),
    refused: z.array(z.string()),
    removed: z.boolean().describe("true: the alias had no other targets, and is gone."),
    ...liveFields,
  }),
  async run(context, { address, target }) {
    const { tables, at } = context;
    const { alias, waiting } = await waitingFor(tables, address, target);
    await tables.aliases.refuse(alias, waiting, at);
    const refused = waiting.map(({ email }) => email);
    const removed = refused.length === alias.targets.length;
    return { address: alias.address, refused, removed, ...(await liveness(context, alias.domain)) };
  },
});

/** An alias, and those of its targets that wait. @throws MailError alias_not_found if none does */
async function waitingFor(tables: Tables, address: AddressParts, target: AddressParts | undefined) {
  const alias = await tables.aliases.get(address);
  const waiting = alias.targets.filter(
    ({ standing, email }) => standing === "waiting" && email === (target?.email ?? email),
  );
  if (waiting.length > 0) return { alias, waiting };
  throw new MailError(
    "alias_not_found",
    `No such target of ${alias.address} waits for approval.`,
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
    target: EmailAddress.optional().describe("Only this target."),
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
  async run({ tables }, { address, target, limit }) {
    const waiting = await tables.aliases.waiting(limit, { address, target });
    return {
      waiting: waiting.map(({ alias, target, through, from }) => ({
        alias,
        target,
        leads_to: through.slice(0, MOST_NAMED),
        also_from: from.slice(0, MOST_NAMED),
      })),
    };
  },
});

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
    if (add !== undefined) await tables.aliases.approveDomain(add);
    if (remove !== undefined) await tables.aliases.disapproveDomain(remove);
    return { domains: await tables.aliases.approvedDomains() };
  },
});

export const setPostmaster = defineTool({
  endpoint: "set-postmaster",
  title: "Set who gets postmaster@ and abuse@",
  description:
    "Sets the address that gets the mail of postmaster@ and abuse@ of every domain, except where a mailbox or alias has that name.",
  effect: "write",
  ofAllDomains: true,
  input: z.strictObject({
    address: z.union([z.literal("none"), EmailAddress]).describe("An address, here or elsewhere; or none."),
  }),
  output: z.object({ address: z.string().nullable(), revision: z.int() }),
  async run({ tables, at }, { address }) {
    const target = address === "none" ? undefined : address;
    if (target !== undefined) {
      const isOurs = (await tables.domains.find(target.domain)) !== undefined;
      if (isOurs && (await tables.aliases.find(target)) === undefined) await tables.users.get(target);
    }
    await tables.aliases.setShared(target, at);
    return { address: target?.email ?? null, revision: await tables.state.revision() };
  },
});
