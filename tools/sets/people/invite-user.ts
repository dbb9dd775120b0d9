import * as z from "zod";
import { NO_LOGIN } from "../../../src/mail/stored-hash.ts";
import { next, text } from "../../../src/mail/text.ts";
import { addUser, newMailbox } from "../../add-user.ts";
import { defineTool } from "../../call/tool.ts";
import { linkFields, newLink } from "./password-link.ts";

const { email, quota_mb } = addUser.input.shape;

const EXISTS = text`Nothing was changed. To let its owner choose another password use ${next("create-password-link")}; for its quota use ${next("set-user")}. Never remove and re-create it for that.`;

export const inviteUser = defineTool({
  endpoint: "invite-user",
  title: "Create a mailbox whose owner chooses the password",
  description: text`Creates a mailbox in a registered domain, or brings a soft-deleted one back, like ${next("add-user")}, but without a password: mail arrives at once, and nobody can log in until its owner has chosen a password by the link in the result. It works once, for 24 hours; ${next("create-password-link")} makes another. Say how the person gets it: you cannot send mail, and mail to the new address cannot be read yet.`,
  effect: "write",
  input: z.strictObject({ email, quota_mb }),
  output: z.object({ ...addUser.output.shape, ...linkFields }),
  async run(context, input) {
    const empty = { ...context, passwordHash: NO_LOGIN };
    const mailbox = await newMailbox(empty, input.email, input.quota_mb, EXISTS);
    const user = await context.tables.users.get(input.email);
    return { ...mailbox, ...(await newLink(context, user, "first")) };
  },
});
