const MARK = "[secret]";

/** What secrets look like, wherever they stand: our credentials, hashes, what OAuth and HTTP carry. */
const shapes: ReadonlyArray<[shape: RegExp, instead: string]> = [
  [/\bm25[a-z]+_[\w-]+/gi, MARK],
  [/\$2[abxy]\$\d\d\$[./A-Za-z0-9]*/g, MARK],
  [/\b(bearer|basic|dpop)(\s+)(?=\S*\d)[\w.~+/=-]{8,}/gi, `$1$2${MARK}`],
  [/\b((?:access|refresh|id)_token|client_secret|code_verifier|password)=[^&\s"\\]+/gi, `$1=${MARK}`],
  // Opaque tokens of OAuth: long, and of all three kinds of characters.
  [/(?<![\w-])(?=[\w-]*\d)(?=[\w-]*[a-z])(?=[\w-]*[A-Z])[\w-]{40,}/g, MARK],
];

/** The text without whatever looks like a secret: the last line of defence, after which nothing is written. */
export function redacted(text: string): string {
  return shapes.reduce((rest, [shape, instead]) => rest.replaceAll(shape, instead), text);
}
