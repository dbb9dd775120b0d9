import * as z from "zod";
import type { User } from "../db/users/rows.ts";
import { MailError } from "../src/mail/error.ts";
import { EmailAddress, Password } from "../src/mail/schemas.ts";
import { byReader, joined, next, operator, type Text, text } from "../src/mail/text.ts";
import { Timestamp } from "./call/fields.ts";
import { isBlocked, withPassword } from "./call/login.ts";
import { defineTool } from "./call/tool.ts";
import { liveFields, liveness } from "./nodes/liveness.ts";

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
    const { updatedAt } = await tables.users.update(user, withPassword(user, passwordHash), at);
    const live = await liveness(context, user.domain);
    if (!isBlocked(user)) return { email: user.email, updated_at: updatedAt, ...live };
    const notes = [stillBlocked(user), ...(live.note === undefined ? [] : [live.note])];
    return { email: user.email, updated_at: updatedAt, ...live, note: joined(notes) };
  },
});

function stillBlocked({ email }: User): Text {
  return text`The login of ${email} is turned off and stays off: nobody can log in with this password until the login is on. ${byReader({ toOperator: "To turn it on", toOthers: "The operator turns it on" })}: ${operator(`call set-user --email ${email} --login on`)}.`;
}

/** @throws MailError user_inactive */
export function refuseInactive(user: User): void {
  if (user.active) return;
  const restoring = operator(`user restore ${user.email}`);
  throw new MailError(
    "user_inactive",
    `The mailbox ${user.email} is inactive (soft-deleted).`,
    text`${byReader({ toOperator: "", toOthers: "Change nothing, unless you were asked to bring it back. " })}To bring it back with its mail and a new password, use ${next("add-user")}; with its old password${byReader({ toOperator: text`: ${restoring}`, toOthers: text`, only the operator can (${restoring})` })}.`,
  );
}
