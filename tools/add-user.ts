import * as z from "zod";
import { MailError } from "../src/mail/error.ts";
import { defaultQuotaMb, EmailAddress, Password, QuotaMb } from "../src/mail/schemas.ts";
import { Revision, Timestamp } from "./fields.ts";
import { defineTool } from "./tool.ts";

export const addUser = defineTool({
  endpoint: "add-user",
  title: "Create a mailbox",
  description:
    "Creates a mailbox; within a minute the nodes accept mail for it and its owner can log in with IMAP and send " +
    "with the full address and this password. The domain must be registered (m25_mail_list_domains). " +
    "If a mailbox of this address was soft-deleted, it is re-activated with the new password and its old mail " +
    "becomes readable with it: the result then says reactivated: true, and you must tell the person who asked. " +
    "Fails with user_exists when the mailbox is active; to change its password use m25_mail_update_password. " +
    "There are no aliases, forwards, catch-alls, autoresponders or renaming, and a mailbox is no substitute: it gets " +
    "none of another's mail.",
  effect: "write",
  input: z.strictObject({
    email: EmailAddress,
    password: Password,
    quota_mb: QuotaMb.optional().describe(
      `Mailbox size limit in MiB, 1 to 1048576. Default ${defaultQuotaMb}; a re-activated mailbox keeps its own unless one is given. Only the operator changes an active one's (m25-mail user set-quota): never remove and re-create it for that.`,
    ),
  }),
  output: z.object({
    email: z.string(),
    quota_mb: z.int(),
    active: z.boolean(),
    reactivated: z
      .boolean()
      .describe(
        "true: a soft-deleted mailbox came back, and its old mail is readable with the new password.",
      ),
    created_at: Timestamp,
    revision: Revision,
  }),
  async run({ tables, at, passwordHash }, { email: address, quota_mb }) {
    const domain = await tables.domains.get(
      address.domain,
      "It may be a typo: compare with m25_mail_list_domains, and ask the person. Register it with m25_mail_add_domain only if it is meant.",
    );
    const existing = await tables.users.find(address);
    if (existing?.active) {
      throw new MailError(
        "user_exists",
        `The mailbox ${address.email} exists already.`,
        "Nothing was changed. To change its password use m25_mail_update_password; its quota the operator changes " +
          "(m25-mail user set-quota). Never remove and re-create it for that.",
      );
    }
    const quotaMb = quota_mb ?? existing?.quotaMb ?? defaultQuotaMb;
    const user =
      existing === undefined
        ? await tables.users.add(domain, address.localPart, { passwordHash, quotaMb }, at)
        : await tables.users.update(existing, { passwordHash, quotaMb, active: true }, at);
    return {
      email: user.email,
      quota_mb: user.quotaMb,
      active: user.active,
      reactivated: existing !== undefined,
      created_at: user.createdAt,
      revision: await tables.state.revision(),
    };
  },
});
