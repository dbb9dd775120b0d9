import * as z from "zod";
import type { Domain } from "../db/domains/domains.ts";
import type { Tables } from "../db/store.ts";
import type { User, UserPosition } from "../db/users/rows.ts";
import { DomainName, SearchedAddress } from "../src/mail/schemas.ts";
import { field, next, text } from "../src/mail/text.ts";
import {
  decodeCursor,
  foreignCursor,
  NextCursor,
  pageFields,
  pageOf,
  Timestamp,
  Words,
} from "./call/fields.ts";
import { loginState, loginStates } from "./call/login.ts";
import { defineTool } from "./call/tool.ts";

/** Matches of a search to count. Counting more would take time that grows with the data. */
const MOST_COUNTED = 10_000;

const NOTHING_FOUND = text`No address begins so. Only the start is searched: devries does not find jan.devries@. A domain with letters such as ü must be written out. To look further, list the mailboxes without ${field("search")}.`;

export const listUsers = defineTool({
  endpoint: "list-users",
  title: "List mailboxes",
  description: text`Lists and finds mailboxes, active and inactive (soft-deleted), by domain or by the start of the address. It knows no people's names, passwords, space used or last logins: updated_at is the last change of any kind. For counts use ${next("list-domains")}.`,
  effect: "read",
  input: z.strictObject({
    domain: DomainName.optional().describe("Only this domain's mailboxes."),
    search: SearchedAddress.optional(),
    ...pageFields,
  }),
  output: z.object({
    users: z.array(
      z.object({
        email: z.string(),
        quota_mb: z.int(),
        active: z.boolean().describe("false: soft-deleted."),
        login: z.enum(loginStates).describe("no_password: its owner has yet to choose one."),
        created_at: Timestamp,
        updated_at: Timestamp,
      }),
    ),
    total: z.int().describe(`On all pages. With search, ${MOST_COUNTED} means at least so many.`),
    note: Words.optional().describe("How to look further; only if a search finds nothing."),
    next_cursor: NextCursor,
  }),
  async run({ tables }, { domain, search, limit, cursor }) {
    const within = domain === undefined ? undefined : await tables.domains.get(domain);
    // A search's cursor is for the same search in the same domain; elsewhere it could skip matches.
    const searched = search === undefined ? [] : [search.text, domain ?? ""];
    const after = cursor === undefined ? undefined : positionOf(cursor, searched, domain);
    const found =
      search === undefined
        ? await tables.users.page(limit + 1, domain, after)
        : await tables.users.startingWith(search, domain).page(limit + 1, after);
    const { page, nextCursor } = pageOf(found, limit, (user) => [...searched, user.domain, user.localPart]);
    const total =
      search === undefined
        ? await listed(tables, within)
        : await tables.users.startingWith(search, domain).count(MOST_COUNTED);
    return {
      users: page.map(shown),
      total,
      ...(search !== undefined && total === 0 && { note: NOTHING_FOUND }),
      next_cursor: nextCursor,
    };
  },
});

/** @throws MailError invalid_input for a cursor of another list */
function positionOf(cursor: string, searched: readonly string[], domain: string | undefined): UserPosition {
  const parts = decodeCursor(cursor, searched.length + 2);
  const [afterDomain = "", localPart = ""] = parts.slice(searched.length);
  if (searched.some((part, index) => part !== parts[index])) throw foreignCursor();
  return { domain: domain ?? afterDomain, localPart };
}

async function listed({ domains }: Tables, within: Domain | undefined): Promise<number> {
  if (within !== undefined) return within.userCount + within.inactiveUserCount;
  const { users, inactiveUsers } = await domains.totals();
  return users + inactiveUsers;
}

function shown(user: User) {
  return {
    email: user.email,
    quota_mb: user.quotaMb,
    active: user.active,
    login: loginState(user),
    created_at: user.createdAt,
    updated_at: user.updatedAt,
  };
}
