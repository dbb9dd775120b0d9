const OVERLAP = 24 * 3_600_000;

/** When a node's old key ends if the new one has not been used before, RFC 3339. */
export function keyEnd(now: Date): string {
  return new Date(now.getTime() + OVERLAP).toISOString();
}
