import * as z from "zod";
import { DomainName } from "../src/mail/schemas.ts";
import { Revision, Timestamp } from "./fields.ts";
import { defineTool } from "./tool.ts";

export const addDomain = defineTool({
  endpoint: "add-domain",
  title: "Register a mail domain",
  description:
    "Registers a domain, so that mailboxes can be created in it with m25_mail_add_user and the nodes accept mail " +
    "for it within a minute. Needed once, before its first mailbox. It changes no DNS: mail arrives only when the " +
    "domain's MX records name a node. Fails with domain_exists when it is registered already.",
  effect: "write",
  input: z.strictObject({ domain: DomainName }),
  output: z.object({ domain: z.string(), created_at: Timestamp, revision: Revision }),
  async run({ tables, at }, { domain }) {
    const { name, createdAt } = await tables.domains.add(domain, at);
    return { domain: name, created_at: createdAt, revision: await tables.state.revision() };
  },
});
