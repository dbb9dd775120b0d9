import * as z from "zod";
import { DomainName } from "../../../src/mail/schemas.ts";
import { byReader, field, next, text } from "../../../src/mail/text.ts";
import { refusePublicProvider } from "../../add-domain.ts";
import { defineTool } from "../../call/tool.ts";
import { liveFields, liveness } from "../../nodes/liveness.ts";

export const setDomainAlias = defineTool({
  endpoint: "set-domain-alias",
  title: "Make a domain an alias of another",
  description: text`Lets a further domain that the person owns receive for another one: every mailbox and alias of the domain ${"`of`"} also gets mail, and may send, at the same name there. It is not registered itself (${next("add-domain")} is for domains with mailboxes of their own). ${byReader({ toOperator: text`With ${field("of")} none`, toOthers: "With of: null" })} it ends, and its mail bounces. Changes no DNS.`,
  effect: "write",
  replaces: true,
  input: z.strictObject({
    domain: DomainName.describe("The further domain, e.g. example.org."),
    of: DomainName.nullish().describe("The registered domain that has the mailboxes. null ends the alias."),
  }),
  output: z.object({ domain: z.string(), of: z.string().nullable(), ...liveFields }),
  async run(context, { domain, of }) {
    const { tables, at } = context;
    if (of == null) {
      const former = await tables.domainAliases.remove(domain, at);
      return { domain, of: null, ...(await liveness(context, former, { isRemoval: true })) };
    }
    await refusePublicProvider(domain);
    await tables.domainAliases.set(domain, await tables.domains.get(of), at);
    return { domain, of, ...(await liveness(context, of)) };
  },
});
