const withoutMark = new TextDecoder("utf-8", { fatal: true });
const withMark = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/**
 * The text of bytes; undefined if they are not UTF-8. Nothing is repaired: U+FFFD in a password would make another
 * password, which nobody can type.
 *
 * @param isStart true if a byte order mark may come first, which is left out
 */
export function textOf(bytes: Uint8Array, isStart = true): string | undefined {
  try {
    return (isStart ? withoutMark : withMark).decode(bytes);
  } catch {
    return undefined;
  }
}

/** True for a text that was decoded elsewhere, such as a command-line argument, from bytes that were not UTF-8. */
export function isRepaired(text: string): boolean {
  return text.includes("\uFFFD");
}
