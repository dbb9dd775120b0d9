import { stat } from "node:fs/promises";
import { join } from "node:path";
import { ConfigurationError, systemCode } from "../machine/faults.ts";
import type { Machine } from "../machine/machine.ts";
import type { Config } from "./config.ts";
import { type Daemons, reloadDaemons } from "./daemons/look-up.ts";
import { hostOf } from "./daemons/postfix.ts";
import type { KeyRun } from "./dkim/keys.ts";
import { explain, failureReason, TemporaryFailure } from "./faults.ts";
import { type Lock, lockFile } from "./lock.ts";
import { fileNames } from "./replica/files.ts";
import { untilAtRest, whileInPlace } from "./replica/in-place.ts";
import {
  type Former,
  isAsCommitted,
  isInPlace,
  noteInodes,
  openReplica,
  type Place,
  type Replica,
} from "./replica/replica.ts";
import type { PolicyServer } from "./sending/policy-server.ts";
import { Client } from "./server/client.ts";
import type { Limits } from "./server/connection.ts";
import { makeFolder } from "./server/key.ts";
import { readAuthorities, readKey } from "./server/key-file.ts";

/** Logs each line of a poll once, and remembers the last one that is no warning. */
class PollLog {
  last: string | undefined;
  readonly #log: (line: string) => void;
  #said = new Set<string>();

  constructor(log: (line: string) => void) {
    this.#log = log;
  }

  begin(): void {
    this.last = undefined;
    this.#said = new Set();
  }

  /** Suppresses a line that an earlier poll has logged. */
  mute(line: string): void {
    this.#said.add(line);
  }

  readonly log = (line: string): void => {
    if (this.#said.has(line)) return;
    this.#said.add(line);
    if (!line.startsWith("warning: ")) this.last = line;
    this.#log(line);
  };
}

/** The parts of a poll, which a resident program keeps from poll to poll. */
export interface Session {
  /** The machine, with the poll's log. */
  machine: Machine;
  pollLog: PollLog;
  config: Config;
  version: string;
  /** Postfix's myhostname at the program's start, as the node reports it; undefined without Postfix. */
  hostName: string | undefined;
  /** Read anew by each poll. */
  key: string;
  client: Client;
  /** Makes a connection besides the one of the polls. */
  connect(): Client;
  daemons: Daemons;
  place: Place;
  lock: Lock;
  /** Opened by the first poll, and again if its files were replaced. */
  replica: Replica | undefined;
  /** What the next one is compared with. */
  former?: Former | undefined;
  /** Why Dovecot did not answer its last question; null if it did. */
  dovecot: string | null;
  keyRun: KeyRun;
  /** The state whose domains rspamd has. */
  listed?: string | undefined;
  /** Counts what users send; undefined in a program that is not resident, or where Postfix asks nobody. */
  sending?: PolicyServer | undefined;
}

export interface RunOptions {
  version: string;
  /** Aborted when the program must stop. */
  signal?: AbortSignal | undefined;
  limits?: Partial<Limits> | undefined;
  /** Waits for the lock on the folder; returns undefined if it cannot have it. */
  waitForLock?: ((attempt: () => Promise<Lock | undefined>) => Promise<Lock | undefined>) | undefined;
}

/**
 * Locks the folder, and finds the programs that polls need.
 *
 * @throws ConfigurationError; TemporaryFailure while another run works on the folder
 */
export async function openSession(machine: Machine, config: Config, options: RunOptions): Promise<Session> {
  const pollLog = new PollLog(machine.log);
  const logged = { ...machine, log: pollLog.log };
  const { version, signal, limits, waitForLock } = options;
  const key = await readKey(logged, config.keyFile);
  const ca = await readAuthorities(config.caFile);
  const sqlite = await findSqlite(logged);
  const daemons = await findDaemons(logged, config);
  await makeOut(logged, config.out);
  const attempt = (): Promise<Lock | undefined> => lockFile(join(config.out, fileNames.lock), logged.log);
  const lock = await (waitForLock === undefined ? attempt() : waitForLock(attempt));
  if (lock === undefined) throw new LockedOut(`another m25-mail-node uses ${config.out}`);
  const connect = () => new Client({ server: config.server, ca, version, limits, signal });
  const client = connect();
  const hostName = await hostOf(logged, daemons.postfix);
  const place = { machine: logged, folder: config.out, sqlite, lock: lock.fd };
  const none = { replica: undefined, dovecot: null, keyRun: {} };
  return {
    machine: logged,
    pollLog,
    config,
    version,
    hostName,
    key,
    client,
    connect,
    daemons,
    place,
    lock,
    ...none,
  };
}

/** Another run has locked the folder. This tells nothing about the server or this node. */
export class LockedOut extends TemporaryFailure {}

export async function closeSession(session: Session): Promise<void> {
  session.client.close();
  await session.replica?.db.close();
  await session.lock.release();
}

/** Somebody has removed or moved the folder. systemd lets a service reach the new one only after a new start. */
export class FolderReplaced extends TemporaryFailure {}

/**
 * The replica as it is on disk now. Reopens it if somebody has replaced its files.
 *
 * @throws FolderReplaced, ConfigurationError, SqliteError, FilesReplaced
 */
export async function replicaOf(session: Session): Promise<Replica> {
  const { machine, config, lock } = session;
  if (!(await lock.holds()))
    throw new FolderReplaced(
      `somebody has removed or replaced ${config.out}: this program ends, and must be started again, as systemd does`,
    );
  const { replica } = session;
  if (replica !== undefined) {
    // `accept` may have written a note.
    const isOther =
      replica.written.some((name) => !name.endsWith("-wal")) ||
      !(await isInPlace(replica)) ||
      !(await isAsCommitted(replica));
    if (isOther) machine.log(`somebody has replaced the files in ${config.out}: opening them again`);
    if (isOther || replica.written.length > 0) await dropReplica(session, true);
  }
  if (session.former?.isTouched === true) {
    // By this the look-ups fail. What somebody writes to a file while it is being opened would not be noticed.
    await opened(session).catch(() => undefined);
    await untilAtRest(session.place);
    await session.replica?.db.close();
    session.replica = undefined;
  }
  const current = await opened(session);
  session.former = undefined;
  return current;
}

async function opened(session: Session): Promise<Replica> {
  session.replica ??= await openReplica(session.place, session.former);
  await settleReplaced(session, session.replica);
  return session.replica;
}

/** Makes the daemons open the present files, if these have been replaced. @throws FilesReplaced, SqliteError */
export async function settleReplaced({ machine, daemons }: Session, replica: Replica): Promise<void> {
  if (replica.replaced === "") return;
  if (replica.meta !== undefined && replica.meta.revision > 0 && replica.meta.ready === 0)
    machine.log(`${replica.replaced} was replaced or put back: mail waits until the server has answered`);
  await whileInPlace(replica, machine.log, () => reloadDaemons(machine, daemons));
  await noteInodes(replica);
}

/** Closes the replica after a fault, which undoes its transaction. The next poll opens it again. */
export async function dropReplica(session: Session, isTouched = false): Promise<void> {
  const { replica } = session;
  if (replica === undefined) return;
  session.replica = undefined;
  session.former = { written: replica.written, meta: replica.db.over ? undefined : replica.meta, isTouched };
  await replica.db.close();
}

/** @throws ConfigurationError */
export async function findSqlite(machine: Machine): Promise<string> {
  const sqlite = await machine.find("sqlite3");
  if (sqlite === undefined)
    throw new ConfigurationError("sqlite3 is not installed (Debian: apt-get install sqlite3)");
  return sqlite;
}

/** @throws ConfigurationError if a named configuration does not exist */
export async function findDaemons(machine: Machine, config: Config): Promise<Daemons> {
  const { dovecotConfig, postfixConfig: configuration } = config;
  if (configuration !== undefined && !(await isThere(join(configuration, "main.cf"))))
    throw new ConfigurationError(`the --postfix-config folder ${configuration} has no main.cf`);
  const [postmap, postconf] = await Promise.all(["postmap", "postconf"].map(machine.find));
  const [doveadm, dovecot] = await Promise.all(["doveadm", "dovecot"].map(machine.find));
  if (dovecotConfig !== undefined && doveadm === undefined)
    throw new ConfigurationError("--dovecot-config is given, and doveadm is not installed");
  if (dovecotConfig !== undefined && !(await isThere(dovecotConfig)))
    throw new ConfigurationError(`the --dovecot-config file ${dovecotConfig} does not exist`);
  const own = dovecotConfig === undefined ? [] : ["-c", dovecotConfig];
  return {
    postfix:
      postmap === undefined || postconf === undefined ? undefined : { postmap, postconf, configuration },
    doveadm: doveadm === undefined ? undefined : [doveadm, ...own],
    dovecot,
  };
}

async function isThere(path: string): Promise<boolean> {
  return await stat(path).then(
    () => true,
    (error) => systemCode(error) !== "ENOENT",
  );
}

/** Creates the folder with mode 0711, because the daemons must reach their files by name; each file has its own mode. */
async function makeOut(machine: Machine, out: string): Promise<void> {
  const found = await stat(out).catch(() => undefined);
  if (found === undefined) {
    try {
      await makeFolder(out, 0o711);
    } catch (error) {
      if (failureReason(error) === "disk_full") throw error;
      throw new ConfigurationError(`--out ${out} cannot be created: ${explain(error)}`);
    }
  } else if (!found.isDirectory())
    throw new ConfigurationError(`--out ${out} cannot be created: there is something else of that name`);
  else if ((found.mode & 0o002) !== 0) machine.log(`warning: anybody may write to --out ${out} (chmod 711)`);
}
