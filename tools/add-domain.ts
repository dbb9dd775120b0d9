import * as z from "zod";
import { MailError } from "../src/mail/error.ts";
import { nearNames } from "../src/mail/near-names.ts";
import { DomainName } from "../src/mail/schemas.ts";
import { byReader, next, operator, text } from "../src/mail/text.ts";
import { Timestamp } from "./call/fields.ts";
import { defineTool, type Tool } from "./call/tool.ts";
import { liveFields, liveness } from "./nodes/liveness.ts";

/** How many similar names a result lists. */
const MOST_SIMILAR = 5;

export const addDomain = toolFor(refusePublicProvider);

/** add-domain for an operator, who may register even a public provider's domain. */
export const addPublicProvider = toolFor(async () => undefined);

function toolFor(refuse: (domain: string) => Promise<void>): Tool {
  return defineTool({
    endpoint: "add-domain",
    title: "Register a mail domain",
    description: text`Registers a domain that the person owns. First compare its spelling with ${next("list-domains")}; afterwards create its mailboxes (${next("add-user")}) at once. Within a minute mail to it from this system's mailboxes stays here, whatever its MX records say, and bounces where there is no mailbox. So never register a public provider's domain. Changes no DNS: mail from elsewhere arrives once its MX records name a node.`,
    effect: "write",
    input: z.strictObject({ domain: DomainName }),
    output: z.object({
      domain: z.string(),
      created_at: Timestamp,
      similar_to: z
        .array(z.string())
        .optional()
        .describe("Registered domains that differ by one typo: ask the person which is meant."),
      ...liveFields,
    }),
    async run(context, { domain }) {
      const { tables, at } = context;
      await refuse(domain);
      const { name, createdAt } = await tables.domains.add(domain, at);
      const similar = await tables.domains.named(nearNames(name), MOST_SIMILAR);
      return {
        domain: name,
        created_at: createdAt,
        ...(similar.length > 0 && { similar_to: similar }),
        ...(await liveness(context, name)),
      };
    },
  });
}

/**
 * Refuses a public mail provider's domain: mail to all its addresses from this system's mailboxes would stay here.
 *
 * @param domain in its stored form
 * @throws MailError forbidden
 */
export async function refusePublicProvider(domain: string): Promise<void> {
  const { default: providers } = await import("email-providers/all.json", { with: { type: "json" } });
  if (!providers.includes(domain)) return;
  throw new MailError(
    "forbidden",
    `${domain} is the domain of a public mail provider: mail to all its addresses from mailboxes here would stay here.`,
    text`Nothing was changed. ${byReader({ toOperator: "If the domain is yours or a customer's", toOthers: "Register a domain that the person owns. If this one is theirs, the operator registers it" })}: ${operator(`domain add ${domain} --public-provider`)}.`,
  );
}
