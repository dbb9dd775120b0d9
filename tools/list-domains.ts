import * as z from "zod";
import { next, text } from "../src/mail/text.ts";
import { decodeCursor, NextCursor, pageFields, pageOf, Timestamp } from "./call/fields.ts";
import { defineTool } from "./call/tool.ts";

export const listDomains = defineTool({
  endpoint: "list-domains",
  title: "List mail domains",
  description: text`Lists the domains alphabetically, with how many active and inactive mailboxes each has. ${next("list-users")} lists the mailboxes.`,
  effect: "read",
  input: z.strictObject(pageFields),
  output: z.object({
    domains: z.array(
      z.object({
        domain: z.string(),
        user_count: z.int().describe("Active mailboxes."),
        inactive_user_count: z.int().describe("Soft-deleted mailboxes."),
        created_at: Timestamp,
      }),
    ),
    total: z.int().describe("On all pages."),
    next_cursor: NextCursor,
  }),
  async run({ tables }, { limit, cursor }) {
    const [after] = cursor === undefined ? [] : decodeCursor(cursor, 1);
    const found = await tables.domains.page(limit + 1, after);
    const { page, nextCursor } = pageOf(found, limit, ({ name }) => [name]);
    return {
      domains: page.map((domain) => ({
        domain: domain.name,
        user_count: domain.userCount,
        inactive_user_count: domain.inactiveUserCount,
        created_at: domain.createdAt,
      })),
      total: (await tables.domains.totals()).domains,
      next_cursor: nextCursor,
    };
  },
});
