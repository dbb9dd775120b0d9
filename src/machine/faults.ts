/** A problem that a person must solve first: a file, a flag, a missing program. */
export class ConfigurationError extends Error {
  override readonly name = "ConfigurationError";
}

const systemWords: Record<string, string> = {
  ENOSPC: "the disk is full",
  EDQUOT: "the disk quota is used up",
  EACCES: "not permitted",
  EPERM: "not permitted",
  EROFS: "the file system is read-only",
  ENOENT: "there is no such file or folder",
  ENOTDIR: "that is not a folder",
  EEXIST: "something else has that name",
};

/** An error in one plain line, without a stack or the content of files. */
export function plainWords(error: unknown): string {
  const code = systemCode(error);
  const words = code === undefined ? undefined : systemWords[code];
  const path = (error as { path?: unknown } | null)?.path;
  if (words !== undefined && typeof path === "string") return `${path}: ${words} (${code})`;
  const message = error instanceof Error ? error.message : String(error);
  return words === undefined ? message : `${words}: ${message}`;
}

export function systemCode(error: unknown): string | undefined {
  const code = (error as { code?: unknown } | null | undefined)?.code;
  return typeof code === "string" ? code : undefined;
}

/** For `catch`: undefined where there is no such file or folder. */
export function absent(error: unknown): undefined {
  if (systemCode(error) !== "ENOENT") throw error;
}

/** A command's output on one line, without control characters. */
export function onOneLine(text: string): string {
  const line = text.replace(/[\p{Cc}\s]+/gu, " ").trim();
  return line.length > 300 ? `${line.slice(0, 300)}…` : line;
}
