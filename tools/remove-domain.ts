import { z } from "zod";
import { MailError } from "../src/mail/error.ts";
import { DomainName } from "../src/mail/schemas.ts";
import { Revision } from "./fields.ts";
import { defineTool } from "./tool.ts";

export const removeDomain = defineTool({
  endpoint: "remove-domain",
  title: "Remove a mail domain",
  description:
    "Removes a domain that has no active mailboxes: the nodes stop accepting mail for it. Its inactive (soft-deleted) " +
    "mailboxes are removed for good with it and cannot be re-activated afterwards. Fails with " +
    "domain_has_active_users while it has active mailboxes; remove those first with m25_mail_remove_user. " +
    "Confirm with the person who asked before calling this.",
  effect: "destroy",
  input: z.strictObject({ domain: DomainName }),
  output: z.object({
    domain: z.string(),
    removed_inactive_users: z.int().describe("How many inactive mailboxes went with it."),
    revision: Revision,
  }),
  async run({ tables, at }, { domain }) {
    const found = await tables.domains.get(domain);
    if (found.userCount > 0) {
      throw new MailError(
        "domain_has_active_users",
        `The domain ${domain} still has ${found.userCount} active mailbox${found.userCount === 1 ? "" : "es"}.`,
        `List them with m25_mail_list_users (domain: ${domain}) and remove each with m25_mail_remove_user first.`,
      );
    }
    await tables.domains.remove(found, at);
    return {
      domain,
      removed_inactive_users: found.inactiveUserCount,
      revision: await tables.state.revision(),
    };
  },
});
