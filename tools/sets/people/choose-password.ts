import * as z from "zod";
import { MailError } from "../../../src/mail/error.ts";
import { EmailAddress, Password } from "../../../src/mail/schemas.ts";
import { credentialId } from "../../call/credential.ts";
import { withPassword } from "../../call/login.ts";
import { defineTool } from "../../call/tool.ts";
import { opens } from "./password-link.ts";

/** Sets the password that an owner chose by a link. The owner's page runs it; no other door offers it. */
export const choosePassword = defineTool({
  endpoint: "choose-password",
  title: "Choose a password by a link",
  description: "Sets a mailbox's password and ends the link that allowed it.",
  effect: "write",
  replaces: true,
  input: z.strictObject({
    email: EmailAddress,
    token: z.string().max(200).meta({ writeOnly: true, description: "The link's token." }),
    password: Password,
  }),
  output: z.object({ email: z.string() }),
  async run({ tables, at, passwordHash }, { email, token }) {
    const link = await tables.passwordLinks.find(credentialId("passwordLink", token) ?? "");
    if (!opens(token, link, at) || link.email !== email.email) {
      throw new MailError(
        "link_not_found",
        "This link has been used, has ended, or never existed.",
        "Ask for a new one.",
      );
    }
    const user = await tables.users.get(email);
    await tables.users.update(user, withPassword(user, passwordHash), at);
    return { email: user.email };
  },
});
