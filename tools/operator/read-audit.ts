import * as z from "zod";
import { decodeCursor, encodeCursor, NextCursor, pageFields, Timestamp } from "../call/fields.ts";
import { defineTool } from "../call/tool.ts";

export const readAudit = defineTool({
  endpoint: "read-audit",
  title: "Read the audit log",
  description: "Lists who changed what and who was refused, the oldest first unless told otherwise.",
  effect: "read",
  input: z.strictObject({
    since: z.iso.datetime().optional().describe("Only entries from this time on."),
    principal: z.string().max(100).optional().describe("Only entries of this principal."),
    newest_first: z.boolean().default(false),
    ...pageFields,
  }),
  output: z.object({
    entries: z.array(
      z.object({
        id: z.int(),
        at: Timestamp,
        principal: z.string(),
        door: z.string(),
        client: z.string().nullable(),
        address: z.string().nullable(),
        request: z.string().nullable(),
        tool: z.string(),
        arguments: z.record(z.string(), z.unknown()),
        outcome: z.string(),
        revision: z.int(),
      }),
    ),
    next_cursor: NextCursor,
  }),
  async run({ tables }, { limit, cursor, since, principal, newest_first: newestFirst }) {
    const [at, id] = cursor === undefined ? [] : decodeCursor(cursor, 2);
    const after = at === undefined ? undefined : { at, id: Number(id) };
    const filter = { since: since && new Date(since).toISOString(), principal, newestFirst };
    const entries = await tables.audit.page(limit, filter, after);
    const last = entries.at(-1);
    const next =
      entries.length < limit || last === undefined ? null : encodeCursor([last.at, String(last.id)]);
    return { entries, next_cursor: next };
  },
});
