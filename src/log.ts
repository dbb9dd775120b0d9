/** The program's log: one line a message, on stderr only. stdout belongs to JSON-RPC and to answers. */
export interface Log {
  info(message: string): void;
  warn(message: string): void;
  error(message: string, cause?: unknown): void;
}

export function stderrLog(): Log {
  const line = (level: string, message: string) => {
    process.stderr.write(`${new Date().toISOString()} ${level} ${message}\n`);
  };
  return {
    info: (message) => line("info", message),
    warn: (message) => line("warn", message),
    error: (message, cause) =>
      line("error", cause === undefined ? message : `${message}: ${describe(cause)}`),
  };
}

/** A bug's place without its message: libraries put values, and so secrets, into messages. */
function describe(cause: unknown): string {
  if (!(cause instanceof Error)) return typeof cause;
  const code = "code" in cause ? ` ${String(cause.code)}` : "";
  const frames = (cause.stack ?? "").split("\n").filter((text) => text.trimStart().startsWith("at "));
  return [`${cause.name}${code}`, ...frames].join("\n");
}
