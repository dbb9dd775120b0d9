import * as z from "zod";
import type { LinkKind, PasswordLink } from "../../../db/access/password-links.ts";
import type { User } from "../../../db/users/rows.ts";
import { MailError } from "../../../src/mail/error.ts";
import { byReader, operator, text } from "../../../src/mail/text.ts";
import { credentialMatches, newCredential } from "../../call/credential.ts";
import { Timestamp } from "../../call/fields.ts";
import type { ToolContext } from "../../call/tool.ts";

/** How long a link works, in ms. */
const LIFETIME = 24 * 3_600_000;

/** Result fields of a tool that makes a link. */
export const linkFields = {
  url: z
    .string()
    .optional()
    .describe(
      "Give it to the mailbox's owner alone: it opens the mailbox. Shown only now; absent if your host has opened it for the person.",
    ),
  expires_at: Timestamp,
};

/**
 * Gives the mailbox a link in place of an earlier one.
 *
 * @throws MailError no_public_url
 */
export async function newLink({ tables, at, settings }: ToolContext, user: User, kind: LinkKind) {
  const { publicUrl } = settings;
  if (publicUrl === undefined) {
    throw new MailError(
      "no_public_url",
      "This server does not know its address from outside, where the link would lead.",
      text`Nothing was changed. ${byReader({ toOperator: "Give it: --public-url https://NAME or M25_MAIL_PUBLIC_URL", toOthers: text`The operator gives it: ${operator("serve --public-url https://NAME")} (M25_MAIL_PUBLIC_URL for stdio and the shell)` })}.`,
    );
  }
  const { text: token, id, hash } = newCredential("passwordLink");
  const expiresAt = new Date(Date.parse(at) + LIFETIME).toISOString();
  await tables.passwordLinks.set(user, { id, hash, kind, expiresAt });
  return { url: `${publicUrl.replace(/\/+$/, "")}/password/${token}`, expires_at: expiresAt };
}

/** True for the token of this link while it works. @param at RFC 3339 */
export function opens<Link extends PasswordLink>(
  token: string,
  link: Link | undefined,
  at: string,
): link is Link {
  return credentialMatches(token, link?.hash) && link !== undefined && at < link.expiresAt;
}
