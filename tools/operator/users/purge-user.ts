import * as z from "zod";
import { MailError } from "../../../src/mail/error.ts";
import { EmailAddress } from "../../../src/mail/schemas.ts";
import { next, text } from "../../../src/mail/text.ts";
import { defineTool } from "../../call/tool.ts";

export const purgeUser = defineTool({
  endpoint: "purge-user",
  title: "Remove a soft-deleted mailbox for good",
  description: "Removes an inactive mailbox for good: it can no longer be restored.",
  effect: "destroy",
  input: z.strictObject({ email: EmailAddress }),
  output: z.object({ email: z.string() }),
  async run({ tables, at }, { email }) {
    const user = await tables.users.get(email);
    if (user.active) {
      throw new MailError(
        "user_active",
        `The mailbox ${user.email} is active.`,
        text`Nothing was changed. Only soft-deleted mailboxes are purged: remove it first with ${next("remove-user")}.`,
      );
    }
    await tables.users.remove(user, at);
    return { email: user.email };
  },
});
