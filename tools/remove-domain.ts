import * as z from "zod";
import type { Domain } from "../db/domains/domains.ts";
import type { Tables } from "../db/store.ts";
import { MailError } from "../src/mail/error.ts";
import { DomainName } from "../src/mail/schemas.ts";
import { byReader, next, text } from "../src/mail/text.ts";
import { defineTool } from "./call/tool.ts";
import { liveFields, liveness } from "./nodes/liveness.ts";

export const removeDomain = defineTool({
  endpoint: "remove-domain",
  title: "Remove a mail domain",
  description: text`Removes a domain and its inactive mailboxes for good: the nodes stop accepting its mail. Ask the person first. Fails with domain_has_active_users while any mailbox is active: if the person wants those gone too, remove them first (${next("remove-user")}, soft is enough).`,
  effect: "destroy",
  input: z.strictObject({ domain: DomainName }),
  output: z.object({
    domain: z.string(),
    removed_inactive_users: z.int().describe("How many inactive mailboxes went with it."),
    ...liveFields,
  }),
  async run(context, { domain }) {
    const { tables, at } = context;
    const found = await removable(tables, domain);
    await tables.domains.remove(found, at);
    return {
      domain,
      removed_inactive_users: found.inactiveUserCount,
      ...(await liveness(context, domain, { isRemoval: true })),
    };
  },
  async loss({ tables }, { domain }) {
    const { inactiveUserCount, revision } = await removable(tables, domain);
    const nodes = await tables.nodes.serving(domain);
    return {
      question:
        `Remove the domain ${domain} for good? It has no active mailboxes; ${inactive(inactiveUserCount)} ` +
        `${nodes === 1 ? "1 node stops" : `${nodes} nodes stop`} accepting mail for it.`,
      id: [revision, inactiveUserCount, nodes].join(" "),
    };
  },
});

const ASK = byReader({ toOperator: ". ", toOthers: " and ask the person. " });

/** @throws MailError domain_not_found, domain_has_active_users */
async function removable(tables: Tables, domain: string): Promise<Domain> {
  const found = await tables.domains.get(domain);
  if (found.userCount === 0 && found.aliasCount + found.domainAliasCount > 0) throw hasAliases(found);
  if (found.userCount === 0) return found;
  throw new MailError(
    "domain_has_active_users",
    `The domain ${domain} still has ${found.userCount} active mailbox${found.userCount === 1 ? "" : "es"}.`,
    text`Nothing was changed. List them with ${next("list-users", { domain })}${ASK}Only if they are to go too, remove each with ${next("remove-user")} first.`,
  );
}

function hasAliases({ name, aliasCount, domainAliasCount }: Domain): MailError {
  const total = aliasCount + domainAliasCount;
  return new MailError(
    "domain_has_aliases",
    `The domain ${name} still has ${total} alias${total === 1 ? "" : "es"}.`,
    text`Nothing was changed. List them with ${next("list-aliases", { domain: name })}${ASK}Only if they are to go too, remove each first: ${next("remove-alias")}, and for a domain alias ${next("set-domain-alias")}.`,
  );
}

function inactive(count: number): string {
  if (count === 0) return "no inactive ones either.";
  return `its ${count === 1 ? "inactive mailbox is" : `${count} inactive mailboxes are`} lost and cannot be re-activated.`;
}
