import * as z from "zod";
import { Password } from "../../../../src/mail/schemas.ts";
import { defineTool } from "../../../call/tool.ts";
import { ownerFields, ownMailbox } from "./own-mailbox.ts";

/** Sets the owner's own new password. The owner's page runs it; no other door offers it. */
export const changeOwnPassword = defineTool({
  endpoint: "change-own-password",
  title: "Change one's own password",
  description: "Sets a mailbox's password for its owner, and keeps the app passwords.",
  effect: "write",
  replaces: true,
  input: z.strictObject({ ...ownerFields, password: Password }),
  output: z.object({ email: z.string() }),
  async run(context, input) {
    const { tables, at, passwordHash } = context;
    const user = await ownMailbox(context, input);
    await tables.users.update(user, { passwordHash, appPasswords: user.appPasswords }, at);
    return { email: user.email };
  },
});
