import type { User } from "../db/user-rows.ts";
import { MailError } from "../src/mail/error.ts";
import { next, operator, text } from "../src/mail/text.ts";

/** @throws MailError user_inactive */
export function refuseInactive(user: User): void {
  if (user.active) return;
  throw new MailError(
    "user_inactive",
    `The mailbox ${user.email} is inactive (soft-deleted).`,
    text`Leave it so, unless you were asked to bring it back. Then use ${next("add-user")} with a new password, which also opens its old mail; or the operator restores it with its old password (${operator(`user restore ${user.email}`)}).`,
  );
}
