import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Machine } from "../../machine/machine.ts";
import type { Config } from "../config.ts";
import { type ExitCode, exitCodes } from "../faults.ts";
import { applyIncoming } from "../replica/apply.ts";
import { fileNames, hasFile } from "../replica/files.ts";
import { takeAnswer } from "../replica/incoming.ts";
import { DEFAULT_THRESHOLDS } from "../replica/losses.ts";
import { attachToRead, currentState, openReplica, requireLogs } from "../replica/replica.ts";
import { literal, Sqlite } from "../replica/sqlite.ts";
import { Client } from "../server/client.ts";
import { readAuthorities, readKey } from "../server/key-file.ts";
import { positionOf } from "../server/question.ts";
import { findSqlite, type RunOptions } from "../session.ts";
import { summarize } from "../update.ts";
import { count } from "../words.ts";

/**
 * Asks the server and prints a poll's plan, which it tries on a copy of the replica. Writes nothing in the node's folder,
 * takes no lock, reports nothing.
 *
 * @throws like fetchMaps, SqliteError
 */
export async function dryRun(machine: Machine, config: Config, options: RunOptions): Promise<ExitCode> {
  const key = await readKey(machine, config.keyFile);
  const client = new Client({ server: config.server, ca: await readAuthorities(config.caFile), ...options });
  const folder = await mkdtemp(join(tmpdir(), "m25-mail-node-"));
  const place = { machine, folder, sqlite: await findSqlite(machine) };
  try {
    await copyReplica(place.sqlite, config.out, folder);
    const replica = await openReplica(place);
    try {
      const { meta } = replica;
      const has = meta !== undefined && meta.history !== "";
      const position = positionOf(meta);
      const { taken, accepted } = await client.fetchMaps(key, { position }, (lines) =>
        takeAnswer(replica, lines),
      );
      const { thresholds = DEFAULT_THRESHOLDS, mailRoot, acceptLocally } = config;
      const word = acceptLocally === true ? undefined : accepted;
      if (taken === undefined && !has) return exitCodes.done;
      const lines: string[] = [];
      const applied = await applyIncoming(place, replica, taken, {
        ...{ thresholds, mailRoot, accepted: word, now: machine.clock.now() },
        dryRun: (line) => void lines.push(`${line}\n`),
      });
      const from = has ? `revision ${meta.revision}` : "no state";
      machine.print(
        `from ${from} to revision ${applied.revision}: ${summarize(applied.domains, applied.addresses)}\n`,
      );
      if (applied.withheld > 0)
        machine.print(`withheld, still in service: ${count(applied.withheld, "address")}\n`);
      for (const line of lines) machine.print(line);
      return exitCodes.done;
    } finally {
      await replica.db.close();
    }
  } finally {
    client.close();
    await rm(folder, { recursive: true, force: true });
  }
}

async function copyReplica(sqlite: string, out: string, folder: string): Promise<void> {
  if (!(await hasFile(out, fileNames.addresses))) return;
  await requireLogs(out);
  const db = new Sqlite({ command: sqlite, folder });
  try {
    const name = await currentState({ folder: out }, db);
    for (const one of name === undefined ? [fileNames.addresses] : [name, fileNames.addresses]) {
      await attachToRead(db, "one", `${out}/${one}`);
      await db.run(`VACUUM one INTO json_extract(${literal(`${folder}/${one}`)}, '$');\nDETACH one;`);
    }
  } finally {
    await db.close();
  }
}
