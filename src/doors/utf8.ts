const skippingMark = new TextDecoder("utf-8", { fatal: true });
const keepingMark = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/**
 * The text of bytes; undefined where they are no UTF-8. Nothing is repaired: U+FFFD in a password would be another
 * password, which nobody can type.
 *
 * @param isStart true where a byte order mark may stand, and is left out
 */
export function textOf(bytes: Uint8Array, isStart = true): string | undefined {
  try {
    return (isStart ? skippingMark : keepingMark).decode(bytes);
  } catch {
    return undefined;
  }
}

/** True for a text that was decoded elsewhere, such as an argument of the command line, from bytes that were no UTF-8. */
export function isRepaired(text: string): boolean {
  return text.includes("\uFFFD");
}
