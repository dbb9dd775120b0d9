import { createHash } from "node:crypto";
import { join } from "node:path";
import { explain } from "../faults.ts";
import { fileNames, prepareFile, removeDatabase } from "../replica/files.ts";
import { attach, type Place } from "../replica/replica.ts";
import { Sqlite, SqliteError, sqliteCodes } from "../replica/sqlite.ts";

/** ms for which one table takes recipients. A recipient is known for one to two of these after the last message. */
const PERIOD = 180 * 86_400_000;
/** ms before a file that failed is tried again. */
const AGAIN = 600_000;

/**
 * To whom each mailbox has written before, as hashes in a file of its own: after a restart regular recipients must not count as new
 * ones. A fault is a warning, and recipients then count as known.
 */
export class KnownRecipients {
  readonly #place: Place;
  #db: Sqlite | undefined;
  /** The tables in the file: each one's number of its period. */
  #periods: number[] = [];
  /** The last call: SQLite takes one at a time. */
  #last: Promise<unknown> = Promise.resolve();
  #failedAt: number | undefined;

  constructor(place: Place) {
    this.#place = place;
  }

  /** The number of recipients to whom the mailbox has not written before. */
  countNew(mailbox: string, recipients: readonly string[]): Promise<number> {
    return this.#next(0, async (db) => {
      const known = this.#periods.map(
        (period) => `EXISTS (SELECT 1 FROM known.p${period} WHERE pair = value)`,
      );
      const counted = `SELECT count(*) FROM json_each(${pairs(mailbox, recipients)}) WHERE NOT (${known.join(" OR ")});`;
      return (await db.value<number>(counted)) ?? 0;
    });
  }

  /** Notes that the mailbox has written to these. */
  async note(mailbox: string, recipients: readonly string[]): Promise<void> {
    await this.#next(undefined, async (db, period) => {
      await db.run(
        `INSERT OR IGNORE INTO known.p${period} SELECT value FROM json_each(${pairs(mailbox, recipients)});`,
      );
    });
  }

  async close(): Promise<void> {
    await this.#last;
    await this.#db?.close();
  }

  /** Runs `task` after all earlier ones. @returns `otherwise` after a fault */
  #next<T>(otherwise: T, task: (db: Sqlite, period: number) => Promise<T>): Promise<T> {
    const run = async (): Promise<T> => {
      const { monotonic, now } = this.#place.machine.clock;
      if (this.#failedAt !== undefined && monotonic() - this.#failedAt < AGAIN) return otherwise;
      try {
        const period = Math.floor(now() / PERIOD);
        const result = await task(await this.#opened(period), period);
        this.#failedAt = undefined;
        return result;
      } catch (error) {
        await this.#failed(error);
        return otherwise;
      }
    };
    const result = this.#last.then(run);
    this.#last = result;
    return result;
  }

  /** The open file, with a table for the present period. */
  async #opened(period: number): Promise<Sqlite> {
    if (this.#db !== undefined && !this.#db.over && this.#periods.includes(period)) return this.#db;
    await this.#db?.close();
    const { machine, folder, sqlite } = this.#place;
    await prepareFile(machine, folder, fileNames.recipients);
    this.#db = new Sqlite({ command: sqlite, folder });
    await attach(this.#db, "known", join(folder, fileNames.recipients));
    const names =
      await this.#db.run(`CREATE TABLE IF NOT EXISTS known.p${period}(pair INTEGER PRIMARY KEY) STRICT;
      SELECT name FROM known.sqlite_schema WHERE type = 'table';`);
    const periods = names.map((name) => Number(name.slice(1)));
    // A clock that was wrong once has left tables of later periods, which stay.
    this.#periods = periods.filter((one) => one >= period - 1);
    const old = periods.filter((one) => one < period - 1);
    await this.#db.run(old.map((one) => `DROP TABLE known.p${one};`).join("\n"));
    return this.#db;
  }

  async #failed(error: unknown): Promise<void> {
    const { machine, folder } = this.#place;
    if (this.#failedAt === undefined)
      machine.log(`warning: recipients count as known for now: ${fileNames.recipients}: ${explain(error)}`);
    this.#failedAt = machine.clock.monotonic();
    const result = error instanceof SqliteError ? error.result : undefined;
    await this.#db?.close();
    this.#db = undefined;
    if (result === sqliteCodes.corrupt || result === sqliteCodes.notADatabase)
      await removeDatabase(folder, fileNames.recipients).catch(() => undefined);
  }
}

/** Pairs of a mailbox and a recipient as a JSON array of numbers, in SQL: 64 bits of a hash each. */
function pairs(mailbox: string, recipients: readonly string[]): string {
  const numbers = recipients.map((recipient) =>
    createHash("sha256").update(`${mailbox}\0${recipient}`).digest().readBigInt64BE(0),
  );
  return `'[${numbers.join()}]'`;
}
