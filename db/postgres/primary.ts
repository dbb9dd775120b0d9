import type pg from "pg";
import { MailError } from "../../src/mail/error.ts";
import { AuditTable } from "../audit.ts";
import { StateTable } from "../state.ts";
import { RETRY_SOON } from "./errors.ts";
import { kyselyOn } from "./kysely.ts";
import { soon, WRITE } from "./transactions.ts";

/** pg_control_checkpoint() tells the former timeline until the first checkpoint after a promotion. */
const WHERE = `SELECT pg_is_in_recovery() AS standby,
  CASE WHEN NOT pg_is_in_recovery() THEN left(pg_walfile_name(pg_current_wal_lsn()), 8) END AS timeline`;

/** Admits connections to the primary. A promotion begins a timeline, and the state's history belongs to one. */
export class Primary {
  #timeline = "";

  /** The number of the newest timeline that was seen. */
  get timeline(): number {
    return Number.parseInt(this.#timeline, 16);
  }

  /**
   * A standby that was promoted may lack the last changes, and uses their revisions anew: then the state begins a new history, so
   * that nodes that had them fetch everything.
   *
   * @throws MailError unavailable: a standby; a former primary
   */
  async admit(client: pg.ClientBase): Promise<void> {
    const { rows } = await client.query<{ standby: boolean; timeline: string | null }>(soon({ text: WHERE }));
    const { standby, timeline } = rows[0] ?? { standby: true, timeline: null };
    if (standby || timeline === null) throw isStandby();
    if (timeline === this.#timeline) return;
    if (timeline < this.#timeline) throw isFormer();
    await client.query(WRITE);
    await adopt(client, timeline);
    await client.query("COMMIT");
    this.#timeline = timeline;
  }
}

async function adopt(client: pg.ClientBase, timeline: string): Promise<void> {
  const { rows } = await client.query<{ timeline: string }>("SELECT timeline FROM timeline");
  const former = rows[0]?.timeline;
  if (former === timeline) return;
  await client.query("DELETE FROM timeline");
  await client.query("INSERT INTO timeline VALUES ($1)", [timeline]);
  if (former === undefined) return;
  const db = kyselyOn(client);
  const state = new StateTable(db);
  const at = new Date().toISOString();
  await state.startHistory(at);
  await new AuditTable(db, state).append({
    at,
    principal: "fail-over",
    door: "serve",
    tool: "start-history",
    arguments: { former, timeline },
  });
  await state.save();
}

export function isStandby(): MailError {
  return new MailError(
    "unavailable",
    "This PostgreSQL is a standby, which cannot be written.",
    "Nothing was changed. Connect to the primary.",
    RETRY_SOON,
  );
}

function isFormer(): MailError {
  return new MailError(
    "unavailable",
    "This PostgreSQL is a former primary: another one has been promoted since.",
    "Nothing was changed. Stop it, and make it a standby of the new primary.",
    RETRY_SOON,
  );
}
