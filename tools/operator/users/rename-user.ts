import * as z from "zod";
import type { User } from "../../../db/users/rows.ts";
import { MailError } from "../../../src/mail/error.ts";
import { EmailAddress } from "../../../src/mail/schemas.ts";
import { operator, text } from "../../../src/mail/text.ts";
import { defineTool } from "../../call/tool.ts";
import { liveFields, liveness } from "../../nodes/liveness.ts";
import { refuseInactive } from "../../update-password.ts";

export const renameUser = defineTool({
  endpoint: "rename-user",
  title: "Rename a mailbox",
  description:
    "Gives an active mailbox another address, in the same or another registered domain. Its mail, password and quota stay. Open " +
    "sessions end, and mail to the old address bounces.",
  effect: "write",
  input: z.strictObject({ email: EmailAddress, new_email: EmailAddress }),
  output: z.object({ email: z.string(), former_email: z.string(), ...liveFields }),
  async run(context, { email, new_email }) {
    const { tables, at } = context;
    const user = await tables.users.get(email);
    refuseInactive(user);
    const domain = await tables.domains.get(new_email.domain);
    const existing = await tables.users.find(new_email);
    if (existing !== undefined) throw taken(existing);
    const renamed = await tables.users.rename(user, domain, new_email.localPart, at);
    return { email: renamed.email, former_email: user.email, ...(await liveness(context, domain.name)) };
  },
});

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
