/** A number with its noun: "1 user", "2 users", "2 addresses", "2 mailboxes". */
export function count(number: number, noun: string): string {
  if (number === 1) return `1 ${noun}`;
  return `${number} ${noun}${/[sx]$/.test(noun) ? "es" : "s"}`;
}
