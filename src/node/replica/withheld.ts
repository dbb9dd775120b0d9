import type { Replica } from "./replica.ts";

/** Mailboxes that are in service although the server no longer has them. */
export interface Withheld {
  users: number;
  /** Of these, mailboxes that somebody can still log in to. */
  logins: number;
  /** Domains that are served for the mailboxes in them. */
  domains: number;
  /** The revisions of the removals; 0 without any. */
  first: number;
  last: number;
}

export async function readWithheld({ db, meta }: Pick<Replica, "db" | "meta">): Promise<Withheld> {
  const found =
    meta === undefined
      ? undefined
      : await db.value<Withheld>(
          `SELECT json_object('users', count(*), 'logins', count(password), 'first', ifnull(min(withheld), 0),
            'last', ifnull(max(withheld), 0), 'domains', (SELECT count(*) FROM state.domain WHERE listed = 0 AND key = name))
            FROM state.mailbox WHERE withheld IS NOT NULL;`,
        );
  return found ?? { users: 0, logins: 0, domains: 0, first: 0, last: 0 };
}
