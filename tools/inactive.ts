import type { User } from "../db/users.ts";
import { MailError } from "../src/mail/error.ts";

/** @throws MailError user_inactive */
export function refuseInactive(user: User): void {
  if (user.active) return;
  throw new MailError(
    "user_inactive",
    `The mailbox ${user.email} is inactive (soft-deleted).`,
    "Re-activate it with m25_mail_add_user and a new password; its old mail becomes readable with that password.",
  );
}
