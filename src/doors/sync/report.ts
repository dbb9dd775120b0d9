import type { FastifyReply, FastifyRequest } from "fastify";
import * as z from "zod";
import { isStoredAddress } from "../../mail/address.ts";
import { MailError } from "../../mail/error.ts";
import { checkNames } from "../../mail/node-checks.ts";
import {
  HOST_NAME,
  MOST_LIMITED_USERS,
  type Report,
  reportReasons,
  reportStatuses,
} from "../../sync/report.ts";
import type { SyncDoor } from "./door.ts";

const Count = z.int().min(0);
const Counts = z.strictObject({ domains: Count, users: Count, aliases: Count, domain_aliases: Count });

/** A node's report. It has no free text, and a pattern for each text field: models read them in list_nodes. */
const ReportBody: z.ZodType<Report> = z
  .strictObject({
    revision: Count,
    history: z.string().regex(/^([0-9a-f]{32})?$/),
    digest: z.string().regex(/^([0-9a-f]{64})?$/),
    counts: Counts.partial({ aliases: true, domain_aliases: true }),
    status: z.enum(reportStatuses),
    reason: z.enum(reportReasons).nullable(),
    count: Count.nullable(),
    withheld: Counts.optional(),
    version: z.string().regex(/^[0-9A-Za-z.+-]{1,40}$/),
    host: z.string().regex(HOST_NAME).optional(),
    dovecot: z
      .string()
      .regex(/^\d{1,2}\.\d{1,2}$/)
      .optional(),
    failed_checks: z.array(z.enum(checkNames)).max(checkNames.length).optional(),
    limited_users: z.array(z.string().refine(isStoredAddress)).max(MOST_LIMITED_USERS).optional(),
  })
  .refine((report) => (report.status === "applied") === (report.reason === null));

export async function receiveReport(
  door: SyncDoor,
  request: FastifyRequest,
  reply: FastifyReply,
): Promise<FastifyReply> {
  const { node } = request;
  door.limits.report(node);
  const report = ReportBody.safeParse(request.body);
  if (!report.success) {
    throw new MailError("invalid_input", "This is not a report.", "docs/protocol.md describes reports.");
  }
  const state = await (await door.store.polls.look()).state(node.view);
  if (report.data.history === state.history && report.data.revision > state.revision) {
    throw new MailError(
      "invalid_input",
      "The reported revision is beyond the server's.",
      "Poll again, then report what was applied.",
    );
  }
  const at = door.now().toISOString();
  const { limited_users } = report.data;
  await door.store.write(async ({ nodes, usage }) => {
    const limited =
      limited_users && (await usage.noteLimited(limited_users, node.view.domains, at.slice(0, 10)));
    await nodes.recordReport(node.id, report.data, at, limited ?? null);
  });
  return reply.code(204).send();
}
