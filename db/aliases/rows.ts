import { type Kysely, type RawBuilder, sql } from "kysely";
import type { Address } from "../../src/mail/address.ts";
import { atMost } from "../row-limit.ts";
import type { Schema, TargetStanding } from "../schema.ts";
import { andWithin } from "../within.ts";
import { aliasRecord } from "./graph.ts";

/** An alias with its targets. The address of a catch-all has no local part: @example.nl. */
export interface Alias {
  id: number;
  address: string;
  localPart: string;
  domain: string;
  sendAs: boolean;
  targets: Target[];
  /** How many of the caller's addresses it leads to, alive or not: the cost of resolving it. */
  reach: number;
}

/** The parts of a mailbox's, an alias's or an outside address. */
export type AddressParts = Pick<Address, "email" | "localPart" | "domain">;

export interface Target extends AddressParts {
  standing: TargetStanding;
}

/** An alias to add, with targets whose standings are judged. */
export type NewAlias = Pick<Alias, "address" | "localPart" | "domain" | "sendAs" | "targets">;

export interface AliasRow {
  id: number;
  domain_id: number | null;
  domain: string | null;
  local_part: string;
  send_as: number;
  live: string;
}

/** Reads aliases of the domains `within`. */
export class AliasRows {
  readonly #db: Kysely<Schema>;
  readonly #within: ReadonlySet<string> | undefined;

  constructor(db: Kysely<Schema>, within: ReadonlySet<string> | undefined) {
    this.#db = db;
    this.#within = within;
  }

  /** The first row with this condition. */
  async one(condition: RawBuilder<unknown>): Promise<AliasRow | undefined> {
    const { rows } = await sql<AliasRow>`SELECT aliases.id, aliases.domain_id, domains.name AS domain,
        aliases.local_part, aliases.send_as, aliases.live
      FROM aliases LEFT JOIN domains ON domains.id = aliases.domain_id WHERE ${condition} LIMIT 1`.execute(
      this.#db,
    );
    return rows[0];
  }

  /** At most `limit` aliases with this condition, in order of domain, then local part. */
  async all(condition: RawBuilder<unknown>, limit: number): Promise<Alias[]> {
    const { rows } = await sql<{
      id: number;
      domain: string;
      local_part: string;
      send_as: number;
      targets: string | null;
      reach: number;
    }>`
      SELECT aliases.id, domains.name AS domain, aliases.local_part, aliases.send_as,
        (SELECT string_agg(local_part || ' ' || domain || ' ' || standing, ',' ORDER BY domain, local_part)
          FROM alias_targets WHERE alias_id = aliases.id) AS targets,
        (SELECT count(*) FROM alias_reach AS reach WHERE reach.alias_id = aliases.id${this.andWithin(sql`reach.domain`)}) AS reach
      FROM domains CROSS JOIN aliases
      WHERE aliases.domain_id = domains.id AND domains.erase_after IS NULL AND ${condition}${this.andWithin()}
      ORDER BY domains.name, aliases.local_part LIMIT ${atMost(limit)}`.execute(this.#db);
    return rows.map((row) => ({
      id: row.id,
      address: `${row.local_part}@${row.domain}`,
      localPart: row.local_part,
      domain: row.domain,
      sendAs: row.send_as === 1,
      reach: row.reach,
      targets: row.targets === null ? [] : row.targets.split(",").map(toTarget),
    }));
  }

  /** The condition that keeps to the caller's domains. */
  andWithin(domain?: RawBuilder<unknown>): RawBuilder<unknown> {
    return andWithin(this.#within, domain);
  }
}

export function hasTarget({ domain, localPart }: AddressParts): RawBuilder<unknown> {
  return sql`aliases.id IN (SELECT alias_id FROM alias_targets
    WHERE domain = ${domain} AND local_part = ${localPart})`;
}

export function recordOf({ local_part, domain, live, send_as }: AliasRow) {
  return aliasRecord({ address: `${local_part}@${domain ?? ""}`, live, send_as });
}

/** A local part, which may be empty, its domain and the standing; no address has a blank or a comma. */
function toTarget(text: string): Target {
  const [localPart = "", domain = "", standing] = text.split(" ");
  return { email: `${localPart}@${domain}`, localPart, domain, standing: standing as TargetStanding };
}
