import * as z from "zod";
import { MOST_APP_PASSWORDS, newAppPassword } from "../../../../src/mail/app-password.ts";
import { MailError } from "../../../../src/mail/error.ts";
import { defineTool } from "../../../call/tool.ts";
import { ownerFields, ownMailbox } from "./own-mailbox.ts";

const Name = z
  .string()
  .transform((text) => text.normalize("NFC").trim())
  .refine(
    (name) => /^[^\p{C}\p{Zl}\p{Zp}]+$/u.test(name) && [...name].length <= 64,
    "A name has 1 to 64 visible characters.",
  )
  .meta({ description: "The program or device.", minLength: 1, maxLength: 64 });

/** Makes a password for one program. The owner's page runs it; no other door offers it. */
export const makeAppPassword = defineTool({
  endpoint: "make-app-password",
  title: "Make an app password",
  description: "Makes a further password of the owner's mailbox, for one program.",
  effect: "write",
  input: z.strictObject({ ...ownerFields, name: Name }),
  output: z.object({ name: z.string(), app_password: z.string().describe("Shown only now.") }),
  async run(context, { name, ...owner }) {
    const user = await ownMailbox(context, owner);
    const { appPasswords } = user;
    if (appPasswords.length >= MOST_APP_PASSWORDS || appPasswords.some((one) => one.name === name)) {
      throw new MailError(
        "invalid_input",
        `The mailbox has ${MOST_APP_PASSWORDS} app passwords, or one of this name.`,
        "Nothing was changed. Choose another name, or end an app password first.",
      );
    }
    const { text, selector, hash } = newAppPassword();
    const all = [...appPasswords, { name, createdAt: context.at, selector, hash }];
    all.sort((one, other) => (one.selector < other.selector ? -1 : 1));
    await context.tables.users.update(user, { appPasswords: all }, context.at);
    return { name, app_password: text };
  },
});

/** Ends an app password at once. The owner's page runs it; no other door offers it. */
export const endAppPassword = defineTool({
  endpoint: "end-app-password",
  title: "End an app password",
  description: "Ends one of the owner's app passwords, and the sessions of the mailbox.",
  effect: "write",
  replaces: true,
  input: z.strictObject({ ...ownerFields, name: Name }),
  output: z.object({ name: z.string(), ended: z.boolean().describe("false: there was none of this name.") }),
  async run(context, { name, ...owner }) {
    const user = await ownMailbox(context, owner);
    const rest = user.appPasswords.filter((one) => one.name !== name);
    const ended = rest.length < user.appPasswords.length;
    if (ended) await context.tables.users.update(user, { appPasswords: rest }, context.at);
    return { name, ended };
  },
});
