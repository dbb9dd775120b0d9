import * as z from "zod";
import { MailError } from "../../../src/mail/error.ts";
import { EmailAddress } from "../../../src/mail/schemas.ts";
import { defineTool } from "../../call/tool.ts";
import { liveFields, liveness } from "../../nodes/liveness.ts";

export const restoreUser = defineTool({
  endpoint: "restore-user",
  title: "Restore a soft-deleted mailbox",
  description: "Re-activates a soft-deleted mailbox with the password that it had.",
  effect: "write",
  input: z.strictObject({ email: EmailAddress }),
  output: z.object({ email: z.string(), active: z.boolean(), ...liveFields }),
  async run(context, { email }) {
    const { tables, at } = context;
    const user = await tables.users.get(email);
    if (user.active) {
      throw new MailError(
        "user_active",
        `The mailbox ${user.email} is active.`,
        "Nothing needs to be restored.",
      );
    }
    await tables.users.update(user, { active: true }, at);
    return { email: user.email, active: true, ...(await liveness(context, user.domain)) };
  },
});
