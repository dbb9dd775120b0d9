import * as z from "zod";
import type { User } from "../../../db/users/rows.ts";
import { MailError } from "../../../src/mail/error.ts";
import { EmailAddress } from "../../../src/mail/schemas.ts";
import { field, next, operator, text } from "../../../src/mail/text.ts";
import { defineTool } from "../../call/tool.ts";
import { liveFields, liveness } from "../../nodes/liveness.ts";
import { refuseInactive } from "../../update-password.ts";

export const renameUser = defineTool({
  endpoint: "rename-user",
  title: "Rename a mailbox",
  description:
    "Gives an active mailbox another address, in the same or another registered domain. Its mail, password and quota stay, and " +
    "aliases that name it follow. Open sessions end, and mail to the old address bounces unless keep_alias is true.",
  effect: "write",
  input: z.strictObject({
    email: EmailAddress,
    new_email: EmailAddress,
    keep_alias: z
      .boolean()
      .default(false)
      .describe("true: the old address becomes an alias that leads to the new one."),
  }),
  output: z.object({
    email: z.string(),
    former_email: z.string(),
    aliases: z.array(z.string()).describe("Aliases that named the old address, and now the new one."),
    kept_alias: z.boolean(),
    ...liveFields,
  }),
  async run(context, { email, new_email, keep_alias }) {
    const { tables, at } = context;
    const user = await tables.users.get(email);
    refuseInactive(user);
    const domain = await tables.domains.get(new_email.domain);
    const existing = await tables.users.find(new_email);
    if (existing !== undefined) throw taken(existing);
    if (keep_alias && (await tables.aliases.find(email)) !== undefined) throw aliasExists(email.email);
    const renamed = await tables.users.rename(user, domain, new_email.localPart, at);
    const aliases = await tables.aliases.follow(user, renamed, at);
    if (keep_alias) {
      const former = await tables.domains.get(user.domain);
      await tables.aliases.set(former, user.localPart, { targets: [renamed], sendAs: false }, at);
    }
    return {
      email: renamed.email,
      former_email: user.email,
      aliases,
      kept_alias: keep_alias,
      ...(await liveness(context, domain.name)),
    };
  },
});

function aliasExists(email: string): MailError {
  return new MailError(
    "invalid_input",
    `The address ${email} is an alias already, which stays.`,
    text`Nothing was changed. Leave ${field("keep_alias")} out, and add the new address to its targets with ${next("set-alias")}.`,
  );
}

function taken({ email, active }: User): MailError {
  if (active)
    return new MailError(
      "user_exists",
      `The mailbox ${email} exists already.`,
      "Nothing was changed. Choose another address.",
    );
  return new MailError(
    "user_exists",
    `The address ${email} belongs to a soft-deleted mailbox, which can still come back.`,
    text`Nothing was changed. Choose another address, or remove that mailbox for good first (${operator(`user purge ${email}`)}).`,
  );
}
