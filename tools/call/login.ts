import type { User } from "../../db/users/rows.ts";
import { NO_LOGIN } from "../../src/mail/stored-hash.ts";

/** A mailbox's password, as nodes serve it and as it is held while its login is off. */
type Passwords = Pick<User, "passwordHash" | "heldHash">;

/** False while nodes refuse each password. Mail still arrives. */
export function isLoginOn({ passwordHash }: Pick<User, "passwordHash">): boolean {
  return passwordHash !== NO_LOGIN;
}

/** True for a login that was turned off. A mailbox that waits for its first password is not blocked. */
export function isBlocked({ heldHash }: Pick<User, "heldHash">): boolean {
  return heldHash !== null;
}

export const loginStates = ["on", "off", "no_password"] as const;

/** "off" also for an inactive mailbox; "no_password" for one that waits for its first password. */
export function loginState(
  user: Pick<User, "active" | "passwordHash" | "heldHash">,
): (typeof loginStates)[number] {
  if (!user.active || isBlocked(user)) return "off";
  return isLoginOn(user) ? "on" : "no_password";
}

/** The change that turns a login off and holds its password. */
export function withoutLogin({ passwordHash }: Passwords): Passwords {
  return { passwordHash: NO_LOGIN, heldHash: passwordHash };
}

/** The change to a new password. A login that was turned off stays off; a mailbox without a password gets its login. */
export function withPassword({ heldHash }: Passwords, hash: string): Partial<Passwords> {
  return heldHash === null ? { passwordHash: hash } : { heldHash: hash };
}
