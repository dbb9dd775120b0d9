import { type Kysely, type RawBuilder, sql } from "kysely";
import { MailError } from "../../src/mail/error.ts";
import { field, next, text } from "../../src/mail/text.ts";
import type { Schema } from "../schema.ts";
import { andWithin, listOf } from "../within.ts";
import type { AddressParts, Alias, Target } from "./rows.ts";

/** The addresses that an alias leads to, sorted. */
export interface Resolved {
  /** Mailboxes and outside addresses that get its mail now. */
  live: string[];
  /** Targets that lead nowhere. */
  dead: string[];
  /** Targets outside that wait for a person's approval. */
  waiting: string[];
}

/**
 * Where aliases lead, as a caller for some domains may know it: each address of another domain is outside, whether it is
 * hosted here or not, and is taken to exist.
 */
export class AliasView {
  readonly #db: Kysely<Schema>;
  readonly #within: ReadonlySet<string> | undefined;

  constructor(db: Kysely<Schema>, within: ReadonlySet<string> | undefined) {
    this.#db = db;
    this.#within = within;
  }

  /** The caller's own ones among these domains: registered, or aliases of a registered one. */
  async ownDomains(names: readonly string[]): Promise<Set<string>> {
    const list = JSON.stringify([...new Set(names)].filter((name) => this.#within?.has(name) ?? true));
    const { rows } = await sql<{ name: string }>`SELECT value AS name FROM json_each(${list})
      WHERE EXISTS (SELECT 1 FROM domains WHERE name = value)
        OR EXISTS (SELECT 1 FROM domain_aliases WHERE name = value)`.execute(this.#db);
    return new Set(rows.map(({ name }) => name));
  }

  /**
   * @param before the targets that the alias has
   * @throws MailError invalid_input for a loop; user_not_found for a new target in an own domain that does not exist
   */
  async refuseTargets(
    address: string,
    targets: readonly AddressParts[],
    before: readonly AddressParts[],
  ): Promise<void> {
    const had = new Set(before.map(({ email }) => email));
    const added = targets.filter(({ email }) => !had.has(email));
    await this.refuseLoop(address, added);
    const own = await this.ownDomains(added.map(({ domain }) => domain));
    const missing = await this.#missing(added.filter(({ domain }) => own.has(domain)));
    if (missing === undefined) return;
    throw new MailError(
      "user_not_found",
      `There is no mailbox or alias ${missing}.`,
      text`Nothing was changed. It may be a typo: compare with ${next("list-users")} and ${next("list-aliases")}. Make the mailbox or alias first.`,
    );
  }

  /** @throws MailError invalid_input */
  async refuseLoop(address: string, targets: readonly AddressParts[]): Promise<void> {
    const back = targets.length === 0 ? undefined : await this.#leadingBack(address, targets);
    if (back === undefined) return;
    throw new MailError(
      "invalid_input",
      back === address
        ? text`${field("targets")}: ${address} is the alias itself.`
        : text`${field("targets")}: ${back} leads back to ${address}.`,
      back === address
        ? "Nothing was changed. Leave it out: a mailbox of the same address gets a copy anyway."
        : text`Nothing was changed. See where each alias leads with ${next("list-aliases")}, and leave this target out.`,
    );
  }

  /**
   * Returns those of `targets`, all in the caller's domains, whose mail goes on to an address outside, in a domain that the
   * operator has not approved.
   */
  async leadingOutside(targets: readonly AddressParts[]): Promise<Set<string>> {
    const starts = targets.map(({ email, domain, localPart }) => [email, domain, localPart]);
    const { rows } = await sql<{ first: string }>`WITH RECURSIVE
      ${this.#visible()}, lead(first, domain, local_part, standing, is_last) AS (
        SELECT value ->> 0, value ->> 1, value ->> 2, 'own', 0 FROM json_each(${JSON.stringify(starts)})
        UNION ${this.#steps(sql`lead.first`)}
      ) SELECT DISTINCT first FROM lead WHERE domain NOT IN (SELECT name FROM approved_domains)
        AND ${this.#isOutside()}`.execute(this.#db);
    return new Set(rows.map(({ first }) => first));
  }

  async resolve(aliases: readonly Pick<Alias, "id" | "address" | "localPart" | "domain" | "targets">[]) {
    const starts = aliases.flatMap(({ id, address, localPart, domain, targets }) => [
      // An alias that is a mailbox too keeps a copy.
      ...(localPart === "" ? [] : [[id, address, domain, localPart, "own", 1]]),
      ...targets
        .filter(({ standing }) => standing !== "waiting")
        .map((target) => [id, target.email, target.domain, target.localPart, target.standing, 0]),
    ]);
    const { rows } = await sql<{ id: number; first: string; address: string }>`WITH RECURSIVE
      ${this.#visible()}, lead(id, first, domain, local_part, standing, is_last) AS (
        SELECT CAST(value ->> 0 AS bigint), value ->> 1, value ->> 2, value ->> 3, value ->> 4,
            CAST(value ->> 5 AS integer)
          FROM json_each(${JSON.stringify(starts)})
        UNION ${this.#steps(sql`lead.id, lead.first`)}
      ) SELECT DISTINCT lead.id, lead.first, lead.local_part || '@' || lead.domain AS address
      FROM lead LEFT JOIN visible ON visible.name = lead.domain
        LEFT JOIN users ON users.domain_id = visible.id AND users.local_part = lead.local_part AND users.active = 1
      WHERE users.id IS NOT NULL OR ${this.#isOutside()}`.execute(this.#db);
    const found = Map.groupBy(rows, ({ id }) => id);
    return new Map(aliases.map((alias) => [alias.id, resolved(alias.targets, found.get(alias.id) ?? [])]));
  }

  async #leadingBack(address: string, targets: readonly AddressParts[]): Promise<string | undefined> {
    const starts = targets.map(({ email, domain, localPart }) => [email, domain, localPart]);
    const { rows } = await sql<{ first: string }>`WITH RECURSIVE
      ${this.#visible()}, lead(first, domain, local_part, standing, is_last) AS (
        SELECT value ->> 0, value ->> 1, value ->> 2, 'own', 0 FROM json_each(${JSON.stringify(starts)})
        UNION ${this.#steps(sql`lead.first`)}
      ) SELECT first FROM lead WHERE local_part || '@' || domain = ${address} LIMIT 1`.execute(this.#db);
    return rows[0]?.first;
  }

  /** The first of these addresses that is neither a mailbox, active or not, nor an alias. */
  async #missing(addresses: readonly AddressParts[]): Promise<string | undefined> {
    const list = JSON.stringify(addresses.map(({ email, domain, localPart }) => [email, domain, localPart]));
    const { rows } = await sql<{ email: string }>`WITH ${this.#visible()} SELECT one.value ->> 0 AS email
      FROM json_each(${list}) AS one
      WHERE NOT EXISTS (SELECT 1 FROM visible WHERE (visible.name = one.value ->> 1
          OR visible.id = (SELECT domain_id FROM visible_alias WHERE name = one.value ->> 1))
        AND (EXISTS (SELECT 1 FROM users WHERE domain_id = visible.id AND local_part = one.value ->> 2)
          OR EXISTS (SELECT 1 FROM aliases WHERE domain_id = visible.id AND local_part = one.value ->> 2)))
      LIMIT 1`.execute(this.#db);
    return rows[0]?.email;
  }

  /** The next step of `lead`, through an alias or a domain alias, which is never a registered domain. `is_last` is 1 for an address whose own alias must not be followed. */
  #steps(kept: RawBuilder<unknown>): RawBuilder<unknown> {
    return sql`SELECT ${kept}, coalesce(original.name, target.domain),
        CASE WHEN original.name IS NULL THEN target.local_part ELSE lead.local_part END,
        CASE WHEN original.name IS NULL THEN target.standing ELSE lead.standing END,
        CASE WHEN original.name IS NULL THEN 0 ELSE lead.is_last END
      FROM lead LEFT JOIN visible ON visible.name = lead.domain AND lead.is_last = 0
        LEFT JOIN aliases ON aliases.domain_id = visible.id AND aliases.local_part = lead.local_part
        LEFT JOIN alias_targets AS target ON target.alias_id = aliases.id AND target.standing <> 'waiting'
        LEFT JOIN visible_alias ON visible_alias.name = lead.domain
        LEFT JOIN visible AS original ON original.id = visible_alias.domain_id
      WHERE target.alias_id IS NOT NULL OR original.name IS NOT NULL`;
  }

  #visible(): RawBuilder<unknown> {
    const covered = andWithin(this.#within, sql`name`);
    return sql`visible AS NOT MATERIALIZED (SELECT id, name FROM domains WHERE erase_after IS NULL${covered}),
      visible_alias AS NOT MATERIALIZED (SELECT name, domain_id FROM domain_aliases WHERE true${covered})`;
  }

  /** The condition that `lead` is at an address outside that gets mail. */
  #isOutside(): RawBuilder<unknown> {
    const isForeign =
      this.#within === undefined ? sql`false` : sql`lead.domain NOT IN ${listOf(this.#within)}`;
    return sql`((lead.standing = 'approved' OR ${isForeign})
      AND NOT EXISTS (SELECT 1 FROM visible WHERE visible.name = lead.domain)
      AND NOT EXISTS (SELECT 1 FROM visible_alias WHERE visible_alias.name = lead.domain))`;
  }
}

function resolved(
  targets: readonly Target[],
  found: readonly { first: string; address: string }[],
): Resolved {
  const alive = new Set(found.map(({ first }) => first));
  const emails = (some: readonly Target[]) => some.map(({ email }) => email).sort();
  return {
    live: [...new Set(found.map(({ address }) => address))].sort(),
    dead: emails(targets.filter(({ email, standing }) => standing !== "waiting" && !alive.has(email))),
    waiting: emails(targets.filter(({ standing }) => standing === "waiting")),
  };
}
