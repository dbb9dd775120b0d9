const OVERLAP = 24 * 3_600_000;

/** Until when the old key of a node is valid beside a new one that is not used, RFC 3339. */
export function keyEnd(now: Date): string {
  return new Date(now.getTime() + OVERLAP).toISOString();
}
