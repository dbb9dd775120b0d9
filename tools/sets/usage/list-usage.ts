import * as z from "zod";
import type { Domain } from "../../../db/domains/domains.ts";
import type { Tables } from "../../../db/store.ts";
import type { User } from "../../../db/users/rows.ts";
import type { Usage } from "../../../db/users/usage.ts";
import { MailError } from "../../../src/mail/error.ts";
import { DomainName } from "../../../src/mail/schemas.ts";
import { field, text } from "../../../src/mail/text.ts";
import { decodeCursor, foreignCursor, NextCursor, pageFields, pageOf } from "../../call/fields.ts";
import { defineTool } from "../../call/tool.ts";
import { usageFields, usageOf } from "../usage-fields.ts";

/** Mailboxes to count. Counting more would take time that grows with the data. */
const MOST_COUNTED = 10_000;

const DAY = 86_400_000;

export const listUsage = defineTool({
  endpoint: "list-usage",
  title: "List mailboxes' sizes and last logins",
  description: text`Lists a domain's mailboxes with their size and the day of their last login, as nodes report once a day: to find mailboxes that are nearly full, or that nobody reads. Only logins to read mail are seen. A program that only sends, such as a scanner's, shows none: ask before you call a mailbox unused.`,
  effect: "read",
  input: z.strictObject({
    domain: DomainName,
    order: z
      .enum(["address", "largest"])
      .optional()
      .describe("largest: the largest first, without those not reported yet. Default: address."),
    inactive_days: z
      .int()
      .min(1)
      .max(3650)
      .optional()
      .describe("Only mailboxes without a login for at least so many days, longest first."),
    ...pageFields,
  }),
  output: z.object({
    mailboxes: z.array(
      z.object({
        email: z.string(),
        active: z.boolean().describe("false: soft-deleted."),
        quota_mb: z.int(),
        ...usageFields,
      }),
    ),
    total: z
      .int()
      .describe(`On all pages. Unless in the order of addresses, ${MOST_COUNTED} means at least so many.`),
    next_cursor: NextCursor,
  }),
  async run({ tables, at }, { domain: name, order, inactive_days, limit, cursor }) {
    if (order !== undefined && inactive_days !== undefined) {
      throw new MailError(
        "invalid_input",
        text`${field("inactive_days")} has an order of its own.`,
        text`Leave out ${field("order")} or ${field("inactive_days")}.`,
      );
    }
    const domain = await tables.domains.get(name);
    const list =
      inactive_days === undefined
        ? listIn(order ?? "address", tables, domain)
        : unusedFor(inactive_days, tables, domain, at);
    const [kind, value = "", id] = cursor === undefined ? [] : decodeCursor(cursor, 3);
    if (cursor !== undefined && kind !== list.kind) throw foreignCursor();
    const after = cursor === undefined ? undefined : { value, id: Number(id) };
    const found = await list.page(limit + 1, after);
    const { page, nextCursor } = pageOf(found, limit, (entry) => [
      list.kind,
      String(list.value(entry)),
      String(entry[0].id),
    ]);
    return {
      mailboxes: page.map(([user, usage]) => ({
        email: user.email,
        active: user.active,
        quota_mb: user.quotaMb,
        ...usageOf(user, usage),
      })),
      total: await list.total(),
      next_cursor: nextCursor,
    };
  },
});

type Entry = readonly [User, Usage | undefined];

/** A domain's mailboxes in one order. */
interface List {
  /** Belongs to the cursor. */
  kind: string;
  page(limit: number, after: { value: string; id: number } | undefined): Promise<Entry[]>;
  /** By which the list is ordered, before the id. */
  value(entry: Entry): string | number;
  total(): Promise<number>;
}

function listIn(order: "address" | "largest", { users, usage: usages }: Tables, domain: Domain): List {
  if (order === "largest") {
    return {
      kind: order,
      page: (limit, after) =>
        usages.largest(domain, limit, after && { ...after, value: Number(after.value) }),
      value: ([, usage]) => usage?.usedKib ?? 0,
      total: () => usages.count(domain, MOST_COUNTED),
    };
  }
  return {
    kind: order,
    async page(limit, after) {
      const position = after && { domain: domain.name, localPart: after.value };
      const page = await users.page(limit, domain.name, position);
      const known = await usages.of(page);
      return page.map((user) => [user, known.get(user.id)]);
    },
    value: ([{ localPart }]) => localPart,
    total: async () => domain.userCount + domain.inactiveUserCount,
  };
}

/** The mailboxes without a login for so many days. */
function unusedFor(days: number, { usage: usages }: Tables, domain: Domain, at: string): List {
  const day = new Date(Date.parse(at) - days * DAY).toISOString().slice(0, 10);
  return {
    kind: `unused ${days}`,
    page: (limit, after) => usages.unused(domain, day, limit, after),
    value: ([, usage]) => usage?.unusedSince ?? "",
    total: () => usages.count(domain, MOST_COUNTED, day),
  };
}
