import type { FastifyReply, FastifyRequest } from "fastify";
import * as z from "zod";
import { isStoredAddress } from "../../mail/address.ts";
import { DAY, MOST_REPORTED_MAILBOXES, type UsageReport } from "../../sync/usage.ts";
import type { SyncDoor } from "./door.ts";
import { reportBody } from "./report-body.ts";

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
  const { mailboxes } = reportBody(door, request, Body, "usage");
  const day = door.now().toISOString().slice(0, 10);
  await door.store.write(({ usage }) =>
    usage.report({ id: node.id, domains: node.view.domains }, mailboxes, day),
  );
  return reply.code(204).send();
}
