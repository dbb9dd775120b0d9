import { hash } from "node:crypto";
import * as z from "zod";
import type { User } from "../../../../db/users/rows.ts";
import { MailError } from "../../../../src/mail/error.ts";
import { EmailAddress } from "../../../../src/mail/schemas.ts";
import { isLoginOn } from "../../../call/login.ts";
import type { ToolContext } from "../../../call/tool.ts";

/** A mailbox, as its owner's page sees it. */
export type OwnMailbox = User;

/** Input fields of an operation that only the owner's page runs, for somebody who has signed in there. */
export const ownerFields = {
  email: EmailAddress,
  proof: z.string().max(100).meta({ writeOnly: true, description: "Of the sign-in: proofOf." }),
};

/** Ties a sign-in to one mailbox, whatever its address, and to one password. */
export function proofOf({ mailbox, passwordHash }: Pick<User, "mailbox" | "passwordHash">): string {
  return hash("sha256", `${mailbox} ${passwordHash}`);
}

/** True if the owner of this mailbox may be signed in with this proof. */
export function isProof(user: User | undefined, proof: string): user is User {
  return user?.active === true && isLoginOn(user) && proofOf(user) === proof;
}

/** @throws MailError unauthorized if the sign-in has ended */
export async function ownMailbox(
  { tables }: ToolContext,
  { email, proof }: z.output<z.ZodObject<typeof ownerFields>>,
): Promise<User> {
  const user = await tables.users.find(email);
  if (isProof(user, proof)) return user;
  throw new MailError("unauthorized", "The sign-in has ended.", "Nothing was changed. Sign in again.");
}
