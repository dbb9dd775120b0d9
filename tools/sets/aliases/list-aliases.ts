import * as z from "zod";
import type { Alias } from "../../../db/aliases/rows.ts";
import { DomainName, EmailAddress } from "../../../src/mail/schemas.ts";
import { next, text } from "../../../src/mail/text.ts";
import { decodeCursor, NextCursor, pageFields, pageOf, Words } from "../../call/fields.ts";
import { defineTool } from "../../call/tool.ts";

/** Domain aliases in one result. */
const MOST_DOMAINS = 1000;
/** Addresses to which the aliases of a page lead, unless it has only one: more would hold up the server. */
const MOST_ADDRESSES = 10_000;

const DEAD = text`dead_targets are inactive mailboxes, or none: bring one back with ${next("add-user")}, or leave it out with ${next("set-alias")}.`;

export const listAliases = defineTool({
  endpoint: "list-aliases",
  title: "List aliases",
  description: text`Lists aliases, forwards and catch-alls with their targets and who gets their mail now; by domain, or by one target to see which addresses lead to a mailbox directly. On the first page also domain aliases: domains whose addresses are those of another one.`,
  effect: "read",
  input: z.strictObject({
    domain: DomainName.optional().describe("Only this domain's aliases."),
    target: EmailAddress.optional().describe("Only aliases that name this target."),
    ...pageFields,
  }),
  output: z.object({
    aliases: z.array(
      z.object({
        address: z.string().describe("A catch-all's begins with @."),
        targets: z.array(z.string()),
        send_as: z.boolean(),
        live_targets: z.array(z.string()).describe("Who gets its mail now; nobody: it bounces."),
        dead_targets: z.array(z.string()).describe("Targets that lead to nobody."),
        pending_targets: z.array(z.string()).describe("Wait for a person's approval."),
      }),
    ),
    domain_aliases: z.array(z.object({ domain: z.string(), of: z.string() })),
    total: z.int().describe("Aliases on all pages."),
    note: Words.optional().describe("What to do about dead targets."),
    next_cursor: NextCursor,
  }),
  async run({ tables }, { domain, target, limit, cursor }) {
    const within = domain === undefined ? undefined : await tables.domains.get(domain);
    const [afterDomain = "", localPart = ""] = cursor === undefined ? [] : decodeCursor(cursor, 2);
    const after = cursor === undefined ? undefined : { domain: domain ?? afterDomain, localPart };
    const found = await tables.aliases.page(limit + 1, { domain, target }, after);
    const { page, nextCursor } = pageOf(found, Math.min(limit, pageLength(found)), (alias) => [
      alias.domain,
      alias.localPart,
    ]);
    const resolved = await tables.aliases.resolve(page);
    const aliases = page.map((alias) => shown(alias, resolved.get(alias.id)));
    const isFirst = cursor === undefined && target === undefined;
    const domainAliases = isFirst ? await tables.domainAliases.page(MOST_DOMAINS, domain) : [];
    return {
      aliases,
      domain_aliases: domainAliases.map(({ name, of }) => ({ domain: name, of })),
      total: await tables.aliases.count({ domain: within, target }),
      ...(aliases.some(({ dead_targets }) => dead_targets.length > 0) && { note: DEAD }),
      next_cursor: nextCursor,
    };
  },
});

/** How many of these aliases fit into a page, at least one. */
function pageLength(aliases: readonly Alias[]): number {
  let addresses = 0;
  const beyond = aliases.findIndex(({ reach }) => {
    addresses += reach;
    return addresses > MOST_ADDRESSES;
  });
  return beyond < 0 ? aliases.length : Math.max(beyond, 1);
}

function shown(
  { address, targets, sendAs }: Alias,
  { live = [], dead = [], waiting = [] }: { live?: string[]; dead?: string[]; waiting?: string[] } = {},
) {
  return {
    address,
    targets: targets.map(({ email }) => email),
    send_as: sendAs,
    live_targets: live,
    dead_targets: dead,
    pending_targets: waiting,
  };
}
