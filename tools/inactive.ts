import type { User } from "../db/user-rows.ts";
import { MailError } from "../src/mail/error.ts";

/** @throws MailError user_inactive */
export function refuseInactive(user: User): void {
  if (user.active) return;
  throw new MailError(
    "user_inactive",
    `The mailbox ${user.email} is inactive (soft-deleted).`,
    "Leave it so, unless you were asked to bring it back into service: then m25_mail_add_user with a new password, with " +
      "which its old mail becomes readable, or the operator's m25-mail user restore with the old one.",
  );
}
