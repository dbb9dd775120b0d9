import { MailError } from "../mail/error.ts";
import { printable } from "./printable.ts";
import { redacted } from "./redact.ts";

export const logLevels = ["debug", "info", "warn", "error"] as const;
export type LogLevel = (typeof logLevels)[number];

/** Fields of a line: our own names and numbers, never a call's input. */
export type LogFields = Readonly<Record<string, string | number | undefined>>;

/** The program's log: one line a message, on stderr. stdout is for JSON-RPC and answers. */
export interface Log {
  debug(message: string, fields?: LogFields): void;
  info(message: string, fields?: LogFields): void;
  warn(message: string, fields?: LogFields): void;
  /** Logs the kind and place of `cause`, not its message. */
  error(message: string, cause?: unknown, fields?: LogFields): void;
}

/** The log for people: time, level, message, and the fields as name=value. */
export function stderrLog(least: LogLevel = "info"): Log {
  return logTo((level, message, { stack, ...fields }) => {
    if (logLevels.indexOf(level) < logLevels.indexOf(least)) return;
    const given = Object.entries(fields).filter(([, value]) => value !== undefined);
    writeLine([new Date().toISOString(), level, message, ...given.map(nameAndValue)].join(" "));
    for (const frame of stack?.split("\n") ?? []) writeLine(`    ${frame}`);
  });
}

/** Logs what failed without a caller: an expected failure as a warning in its own words, anything else as a bug. */
export function logFailure(log: Log, message: string, cause: unknown, fields?: LogFields): void {
  if (cause instanceof MailError) log.warn(`${message}: ${cause.message}`, fields);
  else log.error(message, cause, fields);
}

/** @param write receives a line's parts; `stack` has one line a frame */
export function logTo(
  write: (level: LogLevel, message: string, fields: LogFields & { stack?: string }) => void,
): Log {
  return {
    debug: (message, fields = {}) => write("debug", message, fields),
    info: (message, fields = {}) => write("info", message, fields),
    warn: (message, fields = {}) => write("warn", message, fields),
    error: (message, cause, fields = {}) => write("error", message, { ...fields, ...described(cause) }),
  };
}

/** The last step for a line in either format: makes it one line and removes secrets. */
export function writeLine(line: string): void {
  process.stderr.write(`${redacted(printable(line))}\n`);
}

function nameAndValue([name, value]: [string, string | number | undefined]): string {
  return `${name}=${/^[\w.:/@+-]+$/.test(String(value)) ? value : JSON.stringify(value)}`;
}

/** The stack of a bug without its message: libraries put values, and so secrets, into messages. */
function described(cause: unknown): { cause?: string; stack?: string } {
  if (cause === undefined) return {};
  if (!(cause instanceof Error)) return { cause: typeof cause };
  const code = "code" in cause ? ` ${String(cause.code)}` : "";
  const frames = (cause.stack ?? "").split("\n").map((line) => line.trim());
  return {
    cause: `${cause.name}${code}`,
    stack: frames.filter((line) => line.startsWith("at ")).join("\n"),
  };
}
