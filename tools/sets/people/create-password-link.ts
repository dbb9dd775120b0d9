import * as z from "zod";
import { MailError } from "../../../src/mail/error.ts";
import { EmailAddress } from "../../../src/mail/schemas.ts";
import { next, text } from "../../../src/mail/text.ts";
import { isBlocked } from "../../call/login.ts";
import { defineTool } from "../../call/tool.ts";
import { refuseInactive } from "../../update-password.ts";
import { linkFields, newLink } from "./password-link.ts";

export const createPasswordLink = defineTool({
  endpoint: "create-password-link",
  title: "Make a link to choose a password",
  description: text`Makes a link with which the owner of an active mailbox chooses its password, so that nobody else ever knows it: for a lost or a first password. It works once, for 24 hours, and ends when the password is changed in another way, the login is turned off, or a newer link is made. Until the owner uses it the present password keeps working. Say how the person gets it: you cannot send mail.`,
  effect: "write",
  input: z.strictObject({
    email: EmailAddress,
    kind: z
      .enum(["first", "reset"])
      .describe("first: the owner has no password yet; reset: a lost or leaked one. The page says which."),
  }),
  output: z.object({ email: z.string(), ...linkFields }),
  async run(context, { email, kind }) {
    const user = await context.tables.users.get(email);
    refuseInactive(user);
    if (isBlocked(user)) {
      throw new MailError(
        "login_off",
        `The login of ${user.email} is turned off.`,
        text`Nothing was changed. If its owner may log in again, turn it on first: ${next("set-user", { email: user.email, login: "on" })}.`,
      );
    }
    return { email: user.email, ...(await newLink(context, user, kind)) };
  },
});
