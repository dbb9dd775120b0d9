import type { FileSystem } from "./file-system.ts";

/** What the program needs of the machine it runs on. Tests put their own parts in place. */
export interface Host {
  files: FileSystem;
  clock: Clock;
  /** Runs a command to its end. Throws only when it cannot be started. */
  run(command: string, args: readonly string[], options?: RunOptions): Promise<CommandResult>;
  /** The absolute path of an installed command, or undefined. */
  find(command: string): Promise<string | undefined>;
  /** Takes the lock on `path` for this process, or gives undefined when another process has it. */
  lock(path: string): Promise<Lock | undefined>;
  identity: Identity;
  /** One line that is not shown: from standard input, or asked for with `question` on a terminal. */
  readSecret(question: string): Promise<string>;
  /** One plain line for the operator; goes to stderr. */
  log(line: string): void;
  /** True where stderr is journald's, which notes the time of each line. */
  readonly journal: boolean;
  /** For what the user asked to see; goes to stdout. */
  print(text: string): void;
  /** From 0 up to 1. */
  random(): number;
}

export interface Clock {
  /** Milliseconds since 1970. */
  now(): number;
  /** Milliseconds since some moment: for how long something took, for nobody sets this clock. */
  monotonic(): number;
  /** Resolves after that many milliseconds, or as soon as `signal` is aborted. */
  sleep(milliseconds: number, signal?: AbortSignal): Promise<void>;
}

export interface RunOptions {
  /** A descriptor that the command inherits: the lock stays taken while an orphan still works. */
  lock?: Lock | undefined;
  /** Milliseconds. */
  timeout?: number;
  /** Gets what the command prints, piece by piece; `stdout` of the result is then empty. */
  output?: (piece: Buffer) => void;
}

export interface CommandResult {
  /** null when a signal ended it. */
  code: number | null;
  stdout: string;
  stderr: string;
}

export interface Lock {
  fd: number;
  /** False once its file was removed: another may then have the new one of that name. */
  holds(): Promise<boolean>;
  release(): Promise<void>;
}

export interface Identity {
  root: boolean;
  /** Ids of the groups of this process. */
  groups: readonly number[];
  /** The id of Dovecot's group, where there is one. */
  dovecotGroup(): Promise<number | undefined>;
}
