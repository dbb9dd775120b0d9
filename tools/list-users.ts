import * as z from "zod";
import type { User } from "../db/users.ts";
import { DomainName } from "../src/mail/schemas.ts";
import { decodeCursor, encodeCursor, NextCursor, pageFields, Timestamp } from "./fields.ts";
import { defineTool } from "./tool.ts";

export const listUsers = defineTool({
  endpoint: "list-users",
  title: "List mailboxes",
  description:
    "Lists mailboxes, active and inactive (soft-deleted) ones, in alphabetical order of domain, then address. " +
    "Give a domain to see only its own; without one, all are listed, a page at a time. Passwords and their hashes " +
    "are never shown. For counts by domain use m25_mail_list_domains.",
  effect: "read",
  input: z.strictObject({
    domain: DomainName.optional().describe("Only mailboxes of this domain, e.g. example.nl."),
    ...pageFields,
  }),
  output: z.object({
    users: z.array(
      z.object({
        email: z.string(),
        domain: z.string(),
        quota_mb: z.int(),
        active: z.boolean().describe("false: soft-deleted; can be re-activated."),
        created_at: Timestamp,
        updated_at: Timestamp,
      }),
    ),
    total: z.int().describe("All mailboxes that this list has, active and inactive, on every page."),
    next_cursor: NextCursor,
  }),
  async run({ tables }, { domain, limit, cursor }) {
    const within = domain === undefined ? undefined : await tables.domains.get(domain);
    const [afterDomain, afterLocalPart] = cursor === undefined ? [] : decodeCursor(cursor, 2);
    const after =
      afterDomain === undefined || afterLocalPart === undefined
        ? undefined
        : { domain: domain ?? afterDomain, localPart: afterLocalPart };
    const found = await tables.users.page(limit + 1, domain, after);
    const page = found.slice(0, limit);
    const last = found.length > limit ? page.at(-1) : undefined;
    const totals = await tables.domains.totals();
    return {
      users: page.map(shown),
      total:
        within === undefined
          ? totals.users + totals.inactiveUsers
          : within.userCount + within.inactiveUserCount,
      next_cursor: last === undefined ? null : encodeCursor([last.domain, last.localPart]),
    };
  },
});

function shown(user: User) {
  return {
    email: user.email,
    domain: user.domain,
    quota_mb: user.quotaMb,
    active: user.active,
    created_at: user.createdAt,
    updated_at: user.updatedAt,
  };
}
