import * as z from "zod";
import { EmailAddress, Password } from "../src/mail/schemas.ts";
import { Revision, Timestamp } from "./fields.ts";
import { refuseInactive } from "./inactive.ts";
import { defineTool } from "./tool.ts";

export const updatePassword = defineTool({
  endpoint: "update-password",
  title: "Change a mailbox's password",
  description:
    "Replaces the password of an active mailbox. Within a minute the old one stops working on all nodes and open " +
    "IMAP sessions are ended; the owner's mail programs need the new one. Not for inactive (soft-deleted) mailboxes: " +
    "leave those, unless one is wanted back (m25_mail_add_user).",
  effect: "write",
  replaces: true,
  input: z.strictObject({ email: EmailAddress, password: Password }),
  output: z.object({ email: z.string(), updated_at: Timestamp, revision: Revision }),
  async run({ tables, at, passwordHash }, { email }) {
    const user = await tables.users.get(email);
    refuseInactive(user);
    const { updatedAt } = await tables.users.update(user, { passwordHash }, at);
    return { email: user.email, updated_at: updatedAt, revision: await tables.state.revision() };
  },
});
