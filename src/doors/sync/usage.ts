import type { FastifyReply, FastifyRequest } from "fastify";
import * as z from "zod";
import { isStoredAddress } from "../../mail/address.ts";
import { MailError } from "../../mail/error.ts";
import { DAY, MOST_REPORTED_MAILBOXES, type UsageReport } from "../../sync/usage.ts";
import type { SyncDoor } from "./door.ts";

const Count = z.int().min(0);

const Body: z.ZodType<UsageReport> = z.strictObject({
  mailboxes: z
    .array(
      z.strictObject({
        user: z.string().refine(isStoredAddress),
        used_kib: Count,
        messages: Count,
        last_login: z.string().regex(DAY).nullable().optional(),
      }),
    )
    .min(1)
    .max(MOST_REPORTED_MAILBOXES)
    .refine((mailboxes) => new Set(mailboxes.map(({ user }) => user)).size === mailboxes.length),
});

/** POST /sync/v1/usage: takes the sizes and last logins of some of a node's mailboxes. */
export async function receiveUsage(
  door: SyncDoor,
  request: FastifyRequest,
  reply: FastifyReply,
): Promise<FastifyReply> {
  const { node } = request;
  door.limits.report(node);
  const body = Body.safeParse(request.body);
  if (!body.success || node.view.role !== "mail") {
    throw new MailError("invalid_input", "This is no report of usage.", "docs/protocol.md describes it.");
  }
  const day = door.now().toISOString().slice(0, 10);
  await door.store.write(({ usage }) =>
    usage.report({ id: node.id, domains: node.view.domains }, body.data.mailboxes, day),
  );
  return reply.code(204).send();
}
