import * as z from "zod";
import { EmailAddress, Password } from "../src/mail/schemas.ts";
import { next, text } from "../src/mail/text.ts";
import { Timestamp } from "./fields.ts";
import { refuseInactive } from "./inactive.ts";
import { liveFields, liveness } from "./liveness.ts";
import { defineTool } from "./tool.ts";

export const updatePassword = defineTool({
  endpoint: "update-password",
  title: "Change a mailbox's password",
  description: text`Replaces an active mailbox's password: within a minute the old one stops working, open IMAP sessions end, and mail programs need the new one. Mail keeps arriving: to block only the login, set a random one and tell nobody. Not for inactive mailboxes: leave those, unless one is wanted back (${next("add-user")}).`,
  effect: "write",
  replaces: true,
  input: z.strictObject({ email: EmailAddress, password: Password }),
  output: z.object({ email: z.string(), updated_at: Timestamp, ...liveFields }),
  async run(context, { email }) {
    const { tables, at, passwordHash } = context;
    const user = await tables.users.get(email);
    refuseInactive(user);
    const { updatedAt } = await tables.users.update(user, { passwordHash }, at);
    return { email: user.email, updated_at: updatedAt, ...(await liveness(context, user.domain)) };
  },
});
