import { type Kysely, sql } from "kysely";
import { EVERYWHERE } from "../../src/sync/records.ts";
import { addToDomains } from "../domains/domain-figures.ts";
import type { Schema } from "../schema.ts";
import type { DigestDifference, StateTable } from "../state.ts";
import { type AliasGraph, aliasRecord } from "./graph.ts";
import { type AddressParts, type Alias, type AliasRows, recordOf, type Target } from "./rows.ts";

/** Writes aliases and their targets, and publishes the records that depend on them. */
export class AliasWrites {
  readonly #db: Kysely<Schema>;
  readonly #state: StateTable;
  readonly #graph: AliasGraph;
  readonly #rows: AliasRows;

  constructor(db: Kysely<Schema>, state: StateTable, graph: AliasGraph, rows: AliasRows) {
    this.#db = db;
    this.#state = state;
    this.#graph = graph;
    this.#rows = rows;
  }

  /** Writes the row without targets, or with those that it has, and returns its id. */
  async write(
    {
      domainId,
      localPart,
      address,
      sendAs,
    }: { domainId: number | null; localPart: string; address: string; sendAs: boolean },
    at: string,
  ): Promise<number> {
    const row = await this.#rows.one(
      domainId === null
        ? sql`aliases.domain_id IS NULL`
        : sql`aliases.domain_id = ${domainId} AND aliases.local_part = ${localPart}`,
    );
    const send_as = sendAs ? 1 : 0;
    const after = aliasRecord({ address, live: row?.live ?? "[]", send_as });
    const isChange = row === undefined || row.send_as !== send_as;
    if (isChange) {
      const digests = await this.#state.change({ before: row && recordOf(row), after, at });
      if (domainId === null) await this.#state.addShared(1, digests);
      else await this.#addFigures(domainId, row === undefined ? 1 : 0, digests);
    }
    const revision = await this.#state.revision();
    const { rows } = await sql<{ id: number }>`INSERT INTO aliases
        (domain_id, local_part, send_as, live, revision, created_at, updated_at)
      VALUES (${domainId}, ${localPart}, ${send_as}, '[]', ${revision}, ${at}, ${at})
      ON CONFLICT (domain_id, local_part) DO UPDATE SET send_as = excluded.send_as, updated_at = excluded.updated_at,
        revision = ${isChange ? sql`excluded.revision` : sql`aliases.revision`}
      RETURNING id`.execute(this.#db);
    const [written] = rows;
    if (written === undefined) throw new Error("the alias was not written");
    return written.id;
  }

  /** Adds to the number of aliases, of the domain and of all, and to the domain's digests. */
  async #addFigures(domainId: number, aliases: number, digests: DigestDifference): Promise<void> {
    await addToDomains(this.#db, new Map([[domainId, { aliases, digests }]]));
    if (aliases !== 0) await this.#state.addAliases(aliases, 0);
  }

  async setTargets(id: number, targets: readonly Target[]): Promise<void> {
    const list = JSON.stringify(
      targets.map(({ domain, localPart, standing }) => [domain, localPart, standing]),
    );
    await this.#db.deleteFrom("alias_targets").where("alias_id", "=", id).execute();
    await sql`INSERT INTO alias_targets (alias_id, domain, local_part, standing)
      SELECT ${id}, value ->> 0, value ->> 1, value ->> 2 FROM json_each(${list})`.execute(this.#db);
  }

  /** Publishes where an alias leads from now on, and every alias that leads to it. Call it when its targets have changed. */
  async lead(id: number, at: string): Promise<void> {
    const leading = await this.#graph.leadingTo([id]);
    await this.#graph.update(leading, at);
    await this.#graph.refuseCrowd([id]);
  }

  async remove(alias: Alias, at: string): Promise<void> {
    const leading = await this.#graph.leadingTo([alias.id]);
    const row = await this.#rows.one(sql`aliases.id = ${alias.id}`);
    if (row === undefined) throw new Error("the alias is gone");
    const digests = await this.#state.change({ before: recordOf(row), at });
    await this.#db.deleteFrom("aliases").where("id", "=", alias.id).execute();
    if (row.domain_id !== null) {
      await this.#addFigures(row.domain_id, -1, digests);
    }
    await this.#graph.update(
      leading.filter((id) => id !== alias.id),
      at,
    );
  }

  /** Sets the address for postmaster@ and abuse@ of every domain; undefined removes it. */
  async setShared(target: AddressParts | undefined, at: string): Promise<void> {
    const row = await this.#rows.one(sql`aliases.domain_id IS NULL`);
    if (row !== undefined) {
      const digests = await this.#state.change({ before: recordOf(row), at });
      await this.#state.addShared(-1, digests);
      await this.#db.deleteFrom("aliases").where("id", "=", row.id).execute();
    }
    if (target === undefined) return;
    const id = await this.write({ domainId: null, localPart: "", address: EVERYWHERE, sendAs: false }, at);
    await this.setTargets(id, [{ ...target, standing: "approved" }]);
    await this.#graph.update([id], at);
  }
}
