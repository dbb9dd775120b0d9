import { type ChildProcessWithoutNullStreams, spawn } from "node:child_process";
import { randomBytes } from "node:crypto";

/** SQLite's primary result codes, which end the program's error messages. */
export const sqliteCodes = {
  busy: 5,
  readOnly: 8,
  ioError: 10,
  corrupt: 11,
  full: 13,
  cannotOpen: 14,
  notADatabase: 26,
} as const;

/** The sqlite3 program has ended, which rolls an open transaction back. */
export class SqliteError extends Error {
  override readonly name = "SqliteError";
  /** SQLite's result code; undefined if the program was killed or could not be started. */
  readonly result: number | undefined;

  constructor(message: string) {
    super(message);
    const code = /\((\d+)\)$/.exec(message)?.[1];
    // An extended code has the primary one in its low byte.
    this.result = code === undefined ? undefined : Number(code) & 0xff;
  }
}

/** Receives some rows of a statement at a time. */
export type Rows = (lines: string[]) => void;

export interface SqliteOptions {
  /** The sqlite3 program. */
  command: string;
  /** Folder for SQLite's temporary files, which have no names. */
  folder: string;
  /** A descriptor that the child inherits, so that the lock lasts while an orphan still works. */
  lock?: number | undefined;
}

/**
 * The sqlite3 program, kept running, because Node in Debian 12 and 13 has no SQLite. It takes statements as text and prints
 * JSON, one value a line. Make one call at a time.
 */
export class Sqlite {
  readonly #child: ChildProcessWithoutNullStreams;
  readonly #ended: Promise<void>;
  #rest = "";
  #said = "";
  #over = false;
  #take: (lines: string[]) => void = () => undefined;
  #wake: () => void = () => undefined;

  constructor({ command, folder, lock }: SqliteOptions) {
    // -bail: after an error it reads nothing more, so a later COMMIT does not run. -init and HOME: no ~/.sqliterc.
    // -batch: no prompt.
    const child = spawn(command, ["-batch", "-bail", "-init", "/dev/null", ":memory:"], {
      env: { PATH: process.env.PATH, HOME: "/nonexistent", LC_ALL: "C", SQLITE_TMPDIR: folder },
      stdio: ["pipe", "pipe", "pipe", ...(lock === undefined ? [] : [lock])],
    }) as ChildProcessWithoutNullStreams;
    this.#child = child;
    child.stdin.on("error", () => undefined);
    child.stdout.setEncoding("utf8").on("data", (piece: string) => {
      const lines = (this.#rest + piece).split("\n");
      this.#rest = lines.pop() ?? "";
      this.#take(lines);
    });
    child.stderr.setEncoding("utf8").on("data", (piece: string) => {
      if (this.#said.length < 4096) this.#said += piece;
    });
    this.#ended = new Promise((resolve) => {
      const over = (): void => {
        this.#over = true;
        this.#wake();
        resolve();
      };
      child.once("error", (error) => {
        this.#said ||= error.message;
        over();
      });
      child.once("close", over);
    });
  }

  get pid(): number | undefined {
    return this.#child.pid;
  }

  /** True once the program has ended: it can run nothing more. */
  get over(): boolean {
    return this.#over;
  }

  /**
   * Runs statements to their end.
   *
   * @param rows receives the printed lines; without it they are returned
   * @throws SqliteError
   */
  async run(statements: string, rows?: Rows): Promise<string[]> {
    const nonce = randomBytes(8).toString("hex");
    const printed: string[] = [];
    let reached = false;
    this.#take = (lines) => {
      // The nonce proves that no statement before it has failed.
      if (lines.at(-1) === nonce) {
        reached = true;
        lines.pop();
      }
      if (rows === undefined) printed.push(...lines);
      else if (lines.length > 0) rows(lines);
      if (reached) this.#wake();
    };
    if (!this.#over) await this.#write(`${statements}\nSELECT '${nonce}';\n`);
    while (!reached && !this.#over) await this.#woken();
    if (reached) return printed;
    await this.#ended;
    throw new SqliteError(firstLine(this.#said));
  }

  /** The last printed value, or row as an array; undefined if the statements print none. */
  async value<T>(statements: string): Promise<T | undefined> {
    const line = (await this.run(statements)).at(-1);
    return line === undefined ? undefined : (JSON.parse(line) as T);
  }

  async close(): Promise<void> {
    this.#child.stdin.end();
    await this.#ended;
  }

  #woken(): Promise<void> {
    return new Promise((resolve) => {
      this.#wake = resolve;
    });
  }

  async #write(text: string): Promise<void> {
    if (this.#child.stdin.write(text)) return;
    await new Promise<void>((resolve) => {
      this.#child.stdin.once("drain", resolve);
      void this.#ended.then(resolve);
    });
  }
}

/** A value's JSON as an SQL literal: it is always one line, and only ' must be doubled. */
export function literal(value: unknown): string {
  return `'${JSON.stringify(value).replaceAll("'", "''")}'`;
}

/** Keeps the first line only: later ones may show the statement with its values. */
function firstLine(said: string): string {
  const line = said.split("\n", 1)[0]?.replace(/^(?:Parse|Runtime) error near line \d+: /, "") ?? "";
  return line === "" ? "the sqlite3 program has ended" : line;
}
