import { ConfigurationError } from "../../machine/faults.ts";
import type { Machine } from "../../machine/machine.ts";
import { type Counts, stateTag } from "../../sync/answer.ts";
import type { NodeRole } from "../../sync/records.ts";
import {
  databases,
  fileNames,
  hasFile,
  type Inodes,
  inodesOf,
  prepareFile,
  removeEmptiedLog,
  removeLeftovers,
  setAside,
  stateFile,
} from "./files.ts";
import { transaction, wholeProjection } from "./projection.ts";
import {
  addressesId,
  addressesSchema,
  creation,
  incomingTables,
  SCHEMA_VERSION,
  stateId,
  stateSchema,
  stateUpgrade,
} from "./schema.ts";
import { Sqlite, SqliteError, sqliteCodes } from "./sqlite.ts";

/** The replica's data about itself. */
export interface Meta {
  /** 1 while the daemons may use it. */
  ready: 0 | 1;
  role: NodeRole | "";
  history: string;
  revision: number;
  /** The digest of the server's state, without withheld mailboxes. */
  digest: string;
  cursor: string;
  /** The server's numbers of domains and users. */
  domains: number;
  users: number;
  aliases: number;
  domain_aliases: number;
  /** Time at which its last change was applied; RFC 3339. */
  since: string;
  mail_root: string;
}

/** The addresses in service that the server no longer has, and the domains that stay because of them. */
export interface Withheld extends Counts {
  /** Mailboxes, aliases and domain aliases. */
  addresses: number;
  /** The revisions of the removals; 0 without any. */
  first: number;
  last: number;
}

/** The replica, open for writing. SQL statements call its files `state` and `addresses`. */
export interface Replica {
  folder: string;
  db: Sqlite;
  /** The name of the state's file; undefined on a node without one. */
  stateName: string | undefined;
  /** As committed; undefined without a state. */
  meta: Meta | undefined;
  /** As committed. */
  withheld: Withheld;
  /** The inodes of the open files by name. If a name now has others, somebody has replaced the file. */
  inodes: Map<string, Inodes>;
  /** The file because of which the daemons must reopen theirs; "" if they need not. */
  replaced: string;
  /** The files to which another program has written during a wait. */
  written: readonly string[];
}

/** The same files as this program had them open. Its meta is undefined if a commit may be missing in it. */
export interface Former extends Pick<Replica, "meta" | "written"> {
  /** True if somebody has replaced or overwritten files, and may go on with it. */
  isTouched: boolean;
}

export interface Place {
  machine: Machine;
  folder: string;
  /** The sqlite3 program. */
  sqlite: string;
  /** The lock on the folder, which the sqlite3 program holds as well. */
  lock?: number | undefined;
}

/**
 * Opens the replica, creates missing files, and decides whether the daemons may use it: not before the server has answered,
 * if somebody has replaced a file or written to it, or one is older than the other.
 *
 * @throws SqliteError, ConfigurationError
 */
export async function openReplica(place: Place, former?: Former): Promise<Replica> {
  try {
    return await open(place, former);
  } catch (error) {
    if (!(error instanceof SqliteError)) throw error;
    if (isDamage(error)) await setDamagedAside(place);
    else if (error.result !== sqliteCodes.ioError || !(await removeEmptiedLogs(place))) throw error;
  }
  return await open(place, former);
}

/** Removes the emptied `-wal` of each file that cannot be read. @returns true if there was one */
async function removeEmptiedLogs(place: Place): Promise<boolean> {
  let found = false;
  for (const name of databases) {
    const isUnreadable = await isDamaged(place, name).catch(() => true);
    if (isUnreadable && (await removeEmptiedLog(place.folder, name))) found = true;
  }
  return found;
}

/** True if SQLite has found a file damaged. */
export function isDamage({ result }: SqliteError): boolean {
  return result === sqliteCodes.corrupt || result === sqliteCodes.notADatabase;
}

/**
 * Reads all files, and renames damaged ones. The daemons' look-ups fail until they are made again.
 *
 * @returns true if one was damaged
 */
export async function setDamagedAside(place: Place): Promise<boolean> {
  let found = false;
  for (const name of databases) {
    if (!(await isDamaged(place, name))) continue;
    place.machine.log(`${name} is damaged: renaming it to ${name}.damaged, and making a new one`);
    await setAside(place.folder, name);
    found = true;
  }
  return found;
}

async function open(place: Place, former: Former | undefined): Promise<Replica> {
  const { folder } = place;
  for (const name of databases) await removeLeftovers(folder, name);
  const found = await allInodes(folder);
  const db = new Sqlite({ command: place.sqlite, folder, lock: place.lock });
  try {
    await db.run(
      `PRAGMA temp_store = FILE;\nPRAGMA temp.journal_mode = MEMORY;\nPRAGMA busy_timeout = 60000;\n${incomingTables}`,
    );
    const replica = emptyReplica(folder, db);
    const name = await currentState(place, db);
    if (name !== undefined) await attachState(place, replica, name);
    await attachAddresses(place, replica);
    await settleFiles(replica, found, former);
    return replica;
  } catch (error) {
    await db.close();
    throw error;
  }
}

/** The inodes of all files, by name. */
async function allInodes(folder: string): Promise<Map<string, Inodes>> {
  const found = new Map<string, Inodes>();
  for (const name of databases) found.set(name, await inodesOf(folder, name));
  return found;
}

/** True while nobody has replaced or removed the open files. */
export async function isInPlace({ folder, inodes, db }: Replica): Promise<boolean> {
  if (db.over) return false;
  for (const [name, opened] of inodes) {
    const found = await inodesOf(folder, name);
    if (textOf(found) !== textOf(opened)) return false;
  }
  return true;
}

/** Makes `name` the state: another role's file, or the first one. Attach it before the addresses. */
export async function attachState(place: Place, replica: Replica, name: string): Promise<void> {
  await attachFile(place, replica, { name, schema: "state", id: stateId, statements: stateSchema });
  replica.stateName = name;
  await readState(replica);
}

/** Attaches Postfix's file, after the state: SQLite commits files in the order in which they were attached. */
export async function attachAddresses(place: Place, replica: Replica): Promise<void> {
  const [name, schema] = [fileNames.addresses, "addresses"];
  await attachFile(place, replica, { name, schema, id: addressesId, statements: addressesSchema });
}

/** What a file is to be: its schema's name in SQL, the number of its program, and what makes it. */
interface Kind {
  name: string;
  schema: string;
  id: number;
  statements: readonly string[];
}

async function attachFile({ machine, folder }: Place, { db, inodes }: Replica, kind: Kind): Promise<void> {
  const { name, schema } = kind;
  // Somebody may be replacing one file after another: what is opened is there already, unless it is missing.
  const before = await inodesOf(folder, name);
  const file = await prepareFile(machine, folder, name);
  await attach(db, schema, `${folder}/${name}`);
  await makeSchema(db, kind);
  const { wal, shm } = await inodesOf(folder, name);
  inodes.set(name, { file, wal: before.wal || wal, shm: before.shm || shm });
}

const none: Counts = { domains: 0, users: 0, aliases: 0, domain_aliases: 0 };
export const nothingWithheld: Withheld = { ...none, addresses: 0, first: 0, last: 0 };

/** A replica whose files are not attached yet. */
export function emptyReplica(folder: string, db: Sqlite): Replica {
  const [stateName, meta, withheld] = [undefined, undefined, nothingWithheld];
  return { folder, db, inodes: new Map(), stateName, meta, withheld, replaced: "", written: [] };
}

/** Reads what the replica holds about its committed state. */
export async function readState(replica: Replica): Promise<void> {
  replica.meta = await readMeta(replica.db);
  replica.withheld =
    (await replica.db.value<Withheld>(`SELECT json_object('addresses', count(*),
      'users', count(*) FILTER (WHERE local < '~'), 'aliases', count(*) FILTER (WHERE local >= '~' AND local < '~~'),
      'domain_aliases', count(*) FILTER (WHERE local >= '~~'),
      'domains', (SELECT count(*) FROM state.domain WHERE listed = 0 AND key = name),
      'first', ifnull(min(withheld), 0), 'last', ifnull(max(withheld), 0))
      FROM state.mailbox WHERE withheld IS NOT NULL;`)) ?? nothingWithheld;
}

/** The number of withheld mailboxes that somebody can still log in to. */
export async function countLogins({ db }: Replica): Promise<number> {
  const logins = "SELECT count(*) FROM state.mailbox WHERE withheld IS NOT NULL AND password IS NOT NULL;";
  return (await db.value<number>(logins)) ?? 0;
}

/** False if the files do not hold what this program has committed: somebody has overwritten them. */
export async function isAsCommitted({ db, meta }: Replica): Promise<boolean> {
  if (meta === undefined) return true;
  const states = "json_array(s.history || s.revision || s.digest, a.history || a.revision)";
  const found = await db.value<string[]>(`SELECT ${states} FROM state.meta s, addresses.meta a;`);
  const { history, revision, digest, ready } = meta;
  // Addresses that differ are made again before they may be used.
  return found?.[0] === history + revision + digest && (ready === 0 || found[1] === history + revision);
}

export async function readMeta(db: Sqlite): Promise<Meta | undefined> {
  return await db.value<Meta>(`SELECT json_object('ready', ready, 'role', role, 'history', history, 'revision', revision,
    'digest', digest, 'cursor', cursor, 'domains', domains, 'users', users, 'aliases', aliases, 'domain_aliases', domain_aliases, 'since', since, 'mail_root', mail_root)
    FROM state.meta;`);
}

/** A file's URI for ATTACH. */
function uri(path: string, mode: "rw" | "ro"): string {
  return `'file:${encodeURI(path).replaceAll("'", "''").replaceAll("?", "%3f").replaceAll("#", "%23")}?mode=${mode}'`;
}

/** Opens a file under a schema's name, only for reading. */
export async function attachToRead(db: Sqlite, schema: string, path: string): Promise<void> {
  await db.run(`ATTACH ${uri(path, "ro")} AS ${schema};\nSELECT count(*) FROM ${schema}.sqlite_schema;`);
}

/** Opens a file under a schema's name, for writing, so that its -wal outlives this program. */
export async function attach(db: Sqlite, schema: string, path: string): Promise<void> {
  await db.run(`ATTACH ${uri(path, "rw")} AS ${schema};
PRAGMA ${schema}.journal_mode = WAL;
.filectrl --schema ${schema} persist_wal 1
PRAGMA ${schema}.synchronous = FULL;
PRAGMA ${schema}.journal_size_limit = 16777216;
PRAGMA ${schema}.cache_size = -16000;`);
}

/** @throws ConfigurationError if the file belongs to another program, or to another version of this one */
async function makeSchema(db: Sqlite, { name, schema, id, statements }: Kind): Promise<void> {
  const [application, version, tables] = (
    await db.run(
      `PRAGMA ${schema}.application_id;\nPRAGMA ${schema}.user_version;\nSELECT count(*) FROM ${schema}.sqlite_schema;`,
    )
  ).map(Number);
  if (tables === 0) return void (await db.run(creation(schema, id, statements)));
  if (application !== id)
    throw new ConfigurationError(`${name} in --out is not a file of m25-mail-node: remove it`);
  if (version === SCHEMA_VERSION - 1)
    return void (await db.run(creation(schema, id, schema === "state" ? stateUpgrade : [])));
  if (version !== SCHEMA_VERSION)
    throw new ConfigurationError(
      `${name} has version ${version} of the replica: run the m25-mail-node that made it, or delete the file with its -wal ` +
        "and -shm, and the next poll fetches everything again",
    );
}

/**
 * For commands beside the program: opening a database without its -wal makes an empty one, and so hides that changes are lost.
 *
 * @throws ConfigurationError if a -wal is missing
 */
export async function requireLogs(folder: string): Promise<void> {
  for (const name of databases)
    if ((await hasFile(folder, name)) && !(await hasFile(folder, `${name}-wal`)))
      throw new ConfigurationError(
        `somebody has removed ${name}-wal from --out: run m25-mail-node, which makes it good`,
      );
}

/** The state's file, by the role in the addresses; if these are lost, the file that exists. */
export async function currentState(
  { folder }: Pick<Place, "folder">,
  db: Sqlite,
): Promise<string | undefined> {
  if (await hasFile(folder, fileNames.addresses)) {
    await attachToRead(db, "addresses", `${folder}/${fileNames.addresses}`);
    const made = await db.value<number>("SELECT count(*) FROM addresses.sqlite_schema WHERE name = 'meta';");
    const role =
      made === 1 ? await db.value<NodeRole | "">("SELECT json_quote(role) FROM addresses.meta;") : "";
    await db.run("DETACH addresses;");
    if (role === "mail" || role === "mx") return stateFile(role);
  }
  // An mx may still have its former logins. A mail node removes its former node.db at once.
  for (const name of [fileNames.node, fileNames.logins]) if (await hasFile(folder, name)) return name;
  return undefined;
}

/**
 * Handles files that do not fit: replaced ones are not ready until the server has answered; a wrong projection is made again.
 *
 * @param found the inodes before the files were opened
 */
async function settleFiles(
  replica: Replica,
  found: ReadonlyMap<string, Inodes>,
  former: Former | undefined,
): Promise<void> {
  const { db, meta, inodes, stateName } = replica;
  if (meta === undefined || stateName === undefined) return;
  const [noted = "", notedAddresses = "", revision = 0, history = "", ready = 0, accepted = 0] =
    (await db.value<[string, string, number, string, number, number]>(
      `SELECT json_array(s.inode, a.inode, a.revision, a.history, a.ready,
        (SELECT count(*) FROM state.note WHERE name = 'accepted')) FROM state.meta s, addresses.meta a;`,
    )) ?? [];
  const older = history === meta.history && revision > meta.revision;
  // The -wal outlives this program (persist_wal). If somebody has removed it, its changes are lost. A -shm holds nothing of its own.
  const isReplaced = (name: string, before: string) => {
    const { file, wal } = inodes.get(name) ?? missing;
    return !before.startsWith(`${file} ${wal} `) || found.get(name)?.wal === "";
  };
  // `accept` writes a note to the state's -wal.
  const isWritten = (name: string, withLog: boolean) =>
    former?.written.some((one) => one === name || (withLog && one === `${name}-wal`));
  const isOther =
    isWritten(stateName, accepted === 0) || (former?.meta && stateTag(former.meta) !== stateTag(meta));
  if (isReplaced(stateName, noted) || older || isOther) {
    replica.replaced = stateName;
    await db.run("UPDATE state.meta SET ready = 0;\nUPDATE addresses.meta SET ready = 0;");
    replica.meta = { ...meta, ready: 0 };
    return;
  }
  // A start that was killed may have closed the state only.
  if (meta.ready === 0 && ready === 1) await db.run("UPDATE addresses.meta SET ready = 0;");
  if (noted !== textOf(inodes.get(stateName))) replica.replaced = stateName;
  const isNew = isReplaced(fileNames.addresses, notedAddresses) || isWritten(fileNames.addresses, true);
  if (isNew || notedAddresses !== textOf(inodes.get(fileNames.addresses)))
    replica.replaced = fileNames.addresses;
  const differs = revision !== meta.revision || history !== meta.history || ready !== meta.ready;
  if (meta.ready === 0 || !(differs || isNew)) return;
  // A stranger's addresses are not used, also if the program is killed before they are made again.
  if (isNew) await db.run("UPDATE addresses.meta SET ready = 0;");
  await db.run(transaction(wholeProjection));
}

/** Notes that the daemons have been told to open the present files. */
export async function noteInodes(replica: Replica): Promise<void> {
  const { db, inodes, stateName } = replica;
  if (stateName !== undefined)
    await db.run(`UPDATE state.meta SET inode = '${textOf(inodes.get(stateName))}';`);
  await db.run(`UPDATE addresses.meta SET inode = '${textOf(inodes.get(fileNames.addresses))}';`);
  replica.replaced = "";
}

const missing: Inodes = { file: "", wal: "", shm: "" };

/** As a file's `meta.inode` has them. */
function textOf({ file, wal, shm }: Inodes = missing): string {
  return `${file} ${wal} ${shm}`;
}

/** Reads a whole file. @throws SqliteError if it can be neither read nor called damaged */
async function isDamaged({ folder, sqlite }: Place, name: string): Promise<boolean> {
  if (!(await hasFile(folder, name))) return false;
  const db = new Sqlite({ command: sqlite, folder });
  try {
    await attach(db, "one", `${folder}/${name}`);
    const [found] = await db.run("PRAGMA one.quick_check(1);");
    return found !== "ok";
  } catch (error) {
    if (error instanceof SqliteError && isDamage(error)) return true;
    throw error;
  } finally {
    await db.close();
  }
}
