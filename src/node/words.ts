/** A number with its noun: "1 user", "2 users", "2 addresses". */
export function count(number: number, noun: string): string {
  if (number === 1) return `1 ${noun}`;
  return `${number} ${noun}${noun.endsWith("s") ? "es" : "s"}`;
}
