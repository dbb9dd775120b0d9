/**
 * Makes text safe for a terminal or a log line: control characters, line ends and bidirectional marks become \uXXXX,
 * which JSON decodes to the same text.
 */
export function printable(text: string): string {
  return text.replaceAll(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Co}\p{Cs}]/gu, (found) =>
    found.split("").map(escaped).join(""),
  );
}

function escaped(unit: string): string {
  return `\\u${unit.charCodeAt(0).toString(16).padStart(4, "0")}`;
}
