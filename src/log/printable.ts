/**
 * Text that a terminal or a line of a log shows as it is: control characters, line ends and marks that turn the
 * direction of writing become \uXXXX, which JSON reads back as the same text.
 */
export function printable(text: string): string {
  return text.replaceAll(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Co}\p{Cs}]/gu, (found) =>
    found.split("").map(escaped).join(""),
  );
}

function escaped(unit: string): string {
  return `\\u${unit.charCodeAt(0).toString(16).padStart(4, "0")}`;
}
