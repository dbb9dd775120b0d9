import * as z from "zod";
import { decodeCursor, encodeCursor, NextCursor, pageFields, Timestamp } from "./fields.ts";
import { defineTool } from "./tool.ts";

export const listDomains = defineTool({
  endpoint: "list-domains",
  title: "List mail domains",
  description:
    "Lists the registered domains in alphabetical order, each with how many mailboxes it has. " +
    "For the mailboxes themselves use m25_mail_list_users.",
  effect: "read",
  input: z.strictObject(pageFields),
  output: z.object({
    domains: z.array(
      z.object({
        domain: z.string(),
        user_count: z.int().describe("Active mailboxes."),
        inactive_user_count: z.int().describe("Soft-deleted mailboxes, which can be re-activated."),
        created_at: Timestamp,
      }),
    ),
    total: z.int().describe("All registered domains (that this access is for), on every page."),
    next_cursor: NextCursor,
  }),
  async run({ tables }, { limit, cursor }) {
    const [after] = cursor === undefined ? [] : decodeCursor(cursor, 1);
    const found = await tables.domains.page(limit + 1, after);
    const page = found.slice(0, limit);
    const last = found.length > limit ? page.at(-1) : undefined;
    return {
      domains: page.map((domain) => ({
        domain: domain.name,
        user_count: domain.userCount,
        inactive_user_count: domain.inactiveUserCount,
        created_at: domain.createdAt,
      })),
      total: (await tables.domains.totals()).domains,
      next_cursor: last === undefined ? null : encodeCursor([last.name]),
    };
  },
});
