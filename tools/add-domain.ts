import * as z from "zod";
import { DomainName } from "../src/mail/schemas.ts";
import { Revision, Timestamp } from "./fields.ts";
import { refusePublicProvider } from "./public-providers.ts";
import { defineTool, type Tool } from "./tool.ts";

export const addDomain = toolFor(refusePublicProvider);

/** The same for an operator who says that a public provider's domain is meant. */
export const addPublicProvider = toolFor(async () => undefined);

function toolFor(refuse: (domain: string) => Promise<void>): Tool {
  return defineTool({
    endpoint: "add-domain",
    title: "Register a mail domain",
    description:
      "Registers a domain, once, so that mailboxes can be created in it with m25_mail_add_user. Within a minute mail from " +
      "this system's own mailboxes to it stays here, whatever its MX records say, and is refused for addresses without " +
      "a mailbox: register only a domain of the person's own, and create its mailboxes at once. Mail from elsewhere " +
      "arrives when its MX records name a node; this changes no DNS. Fails with domain_exists when it is registered already.",
    effect: "write",
    input: z.strictObject({ domain: DomainName }),
    output: z.object({ domain: z.string(), created_at: Timestamp, revision: Revision }),
    async run({ tables, at }, { domain }) {
      await refuse(domain);
      const { name, createdAt } = await tables.domains.add(domain, at);
      return { domain: name, created_at: createdAt, revision: await tables.state.revision() };
    },
  });
}
