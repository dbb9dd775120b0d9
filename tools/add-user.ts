import * as z from "zod";
import type { Address } from "../src/mail/address.ts";
import { MailError } from "../src/mail/error.ts";
import { defaultQuotaMb, EmailAddress, Password, QuotaMb } from "../src/mail/schemas.ts";
import { byReader, next, operator, type Text, text } from "../src/mail/text.ts";
import { Timestamp } from "./call/fields.ts";
import { defineTool, type ToolContext } from "./call/tool.ts";
import { liveFields, noteFor } from "./nodes/liveness.ts";

export const addUser = defineTool({
  endpoint: "add-user",
  title: "Create or restore a mailbox",
  description: text`Creates a mailbox in a registered domain, or brings a soft-deleted one back. Within a minute its owner can receive, read (IMAP) and send; the user name is the full address. A mailbox that comes back (reactivated: true; tell the person) has its mail and the new password; its old password is lost. Fails with user_exists if it is active. It receives no other address's mail: it cannot replace an alias, a forward or a renamed address.`,
  effect: "write",
  input: z.strictObject({
    email: EmailAddress.meta({
      description: "Full address, e.g. jan@example.nl. Before the @ only a-z, 0-9 and . _ -",
    }),
    password: Password,
    quota_mb: QuotaMb.optional().describe(`MiB. Default ${defaultQuotaMb}, or the one it had.`),
  }),
  output: z.object({
    email: z.string(),
    quota_mb: z.int(),
    active: z.boolean(),
    reactivated: z.boolean().describe("true: a soft-deleted mailbox came back with its old mail."),
    created_at: Timestamp,
    ...liveFields,
  }),
  run: (context, { email, quota_mb }) => newMailbox(context, email, quota_mb),
});

const REGISTER_IT = text`It may be a typo: compare with ${next("list-domains")}${byReader({ toOperator: "", toOthers: ", and ask the person" })}. Register it with ${next("add-domain")} only if ${byReader({ toOperator: "you mean", toOthers: "the person means" })} this domain.`;

const CHANGE_IT = text`Nothing was changed. To change its password use ${next("update-password")}; ${byReader({ toOperator: text`its quota: ${operator("user set EMAIL --quota-mb MIB")}`, toOthers: text`the operator changes its quota (${operator("user set")})` })}. Never remove and re-create it for that.`;

/**
 * Creates a mailbox, or brings a soft-deleted one back, with the context's password.
 *
 * @param existsHint next step if the mailbox is active
 * @throws MailError domain_not_found, user_exists
 */
export async function newMailbox(
  context: ToolContext,
  address: Address,
  quota_mb: number | undefined,
  existsHint: Text = CHANGE_IT,
) {
  const { tables, at, passwordHash } = context;
  const [domain, existing] = await Promise.all([
    tables.domains.get(address.domain, REGISTER_IT),
    tables.users.find(address),
  ]);
  if (existing?.active) {
    throw new MailError("user_exists", `The mailbox ${address.email} exists already.`, existsHint);
  }
  const quotaMb = quota_mb ?? existing?.quotaMb ?? defaultQuotaMb;
  const note = noteFor(context, address.domain);
  note.catch(() => {}); // thrown below: the change ends first, so that none of its statements runs after a rollback
  const user =
    existing === undefined
      ? await tables.users.add(domain, address.localPart, { passwordHash, quotaMb }, at)
      : await tables.users.update(existing, { passwordHash, heldHash: null, quotaMb, active: true }, at);
  return {
    email: user.email,
    quota_mb: user.quotaMb,
    active: user.active,
    reactivated: existing !== undefined,
    created_at: user.createdAt,
    revision: await tables.state.revision(),
    ...(await note),
  };
}
