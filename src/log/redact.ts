const MARK = "[secret]";

/** Patterns of secrets: our credentials, hashes, OAuth's tokens and HTTP's credentials. */
const shapes: ReadonlyArray<[shape: RegExp, instead: string]> = [
  [/\bm25[a-z]+_[\w-]+/gi, MARK],
  [/\$2[abxy]\$\d\d\$[./A-Za-z0-9]*/g, MARK],
  [/\{SSHA512\}[A-Za-z0-9+/=]*/g, MARK],
  [/\b(?:[a-z]{4}-){6}[a-z]{4}\b/g, MARK],
  [/\b(bearer|basic|dpop)(\s+)(?=\S*\d)[\w.~+/=-]{8,}/gi, `$1$2${MARK}`],
  [/\b((?:access|refresh|id)_token|client_secret|code_verifier|password)=[^&\s"\\]+/gi, `$1=${MARK}`],
  // OAuth's opaque tokens: long, with letters of both cases and digits.
  [/(?<![\w-])(?=[\w-]*\d)(?=[\w-]*[a-z])(?=[\w-]*[A-Z])[\w-]{40,}/g, MARK],
];

/** Removes everything that looks like a secret. It is the last defence before a line is written. */
export function redacted(text: string): string {
  return shapes.reduce((rest, [shape, instead]) => rest.replaceAll(shape, instead), text);
}
