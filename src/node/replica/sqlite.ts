import { type ChildProcessWithoutNullStreams, spawn } from "node:child_process";
import { randomBytes } from "node:crypto";

/** SQLite's primary result codes, as they stand at the end of what its program says. */
export const sqliteCodes = {
  busy: 5,
  readOnly: 8,
  ioError: 10,
  corrupt: 11,
  full: 13,
  cannotOpen: 14,
  notADatabase: 26,
} as const;

/** The sqlite3 program has ended; a transaction that was open is rolled back. */
export class SqliteError extends Error {
  override readonly name = "SqliteError";
  /** SQLite's result code; undefined when the program was killed or could not be started. */
  readonly result: number | undefined;

  constructor(message: string) {
    super(message);
    const code = /\((\d+)\)$/.exec(message)?.[1];
    // An extended code has the primary one in its low byte.
    this.result = code === undefined ? undefined : Number(code) & 0xff;
  }
}

/** Rows of one statement that are handed on at a time. */
export type Rows = (lines: string[]) => void;

export interface SqliteOptions {
  /** The sqlite3 program. */
  command: string;
  /** Where SQLite puts what does not fit into memory; its files there have no names. */
  folder: string;
  /** A descriptor that the child inherits: the lock stays taken while an orphan still works. */
  lock?: number | undefined;
}

/**
 * The sqlite3 program, held open: Debian 12 and 13 have a Node without SQLite. Statements go in as text, JSON comes out,
 * one value a line. One call at a time.
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
    // -bail: after an error nothing more is read, so a COMMIT that follows it is not carried out. -init and HOME: nobody's
    // ~/.sqliterc. -batch: no prompt.
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

  /** True once the program has ended: nothing can be asked of it any more. */
  get over(): boolean {
    return this.#over;
  }

  /**
   * Runs statements to their end.
   *
   * @param rows gets the lines that they print; without it these are returned
   * @throws SqliteError
   */
  async run(statements: string, rows?: Rows): Promise<string[]> {
    const nonce = randomBytes(8).toString("hex");
    const printed: string[] = [];
    let reached = false;
    this.#take = (lines) => {
      // That the last statement was reached is the proof that none before it has failed.
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

  /** The value, or the row as an array, that the statements print last; undefined where they print none. */
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

/** A JSON text as an SQL literal: always one line, and nothing but ' to double. */
export function literal(value: unknown): string {
  return `'${JSON.stringify(value).replaceAll("'", "''")}'`;
}

/** What follows the first line may show the statement, with what it holds. */
function firstLine(said: string): string {
  const line = said.split("\n", 1)[0]?.replace(/^(?:Parse|Runtime) error near line \d+: /, "") ?? "";
  return line === "" ? "the sqlite3 program has ended" : line;
}
