import type { FastifyRequest } from "fastify";
import type * as z from "zod";
import { MailError } from "../../mail/error.ts";
import type { SyncDoor } from "./door.ts";

/**
 * Returns the body of a report that only a node with mailboxes may send.
 *
 * @param what the subject of the report, for a refusal
 * @throws MailError if it is malformed, another role's, or one too many
 */
export function reportBody<Report>(
  { limits }: SyncDoor,
  { node, body }: FastifyRequest,
  schema: z.ZodType<Report>,
  what: string,
): Report {
  limits.report(node);
  const report = schema.safeParse(body);
  if (!report.success || node.view.role !== "mail") {
    throw new MailError("invalid_input", `This is no report of ${what}.`, "docs/protocol.md describes it.");
  }
  return report.data;
}
