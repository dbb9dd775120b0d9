import type { Answer } from "./lookups.ts";

/** `unknown`: DNS did not say. */
export const recordStates = ["ok", "missing", "wrong", "unknown"] as const;

export type RecordState = (typeof recordStates)[number];

/** A record that a domain should have, and what DNS has. */
export interface DnsRecord {
  name: string;
  type: string;
  /** The content that should be there, or words if several would do. */
  expected: string;
  found: readonly string[];
  state: RecordState;
  /** null if there is nothing to say. */
  why: string | null;
  /** Mail works without it. */
  optional: boolean;
}

export type Wanted = Pick<DnsRecord, "name" | "type" | "expected"> & { optional?: boolean };

export function judged(
  wanted: Wanted,
  found: readonly string[],
  state: RecordState,
  why: string | null = null,
): DnsRecord {
  const { name, type, expected, optional = false } = wanted;
  return { name, type, expected, found, state, why, optional };
}

export function absent(wanted: Wanted, why: string): DnsRecord {
  return judged(wanted, [], "missing", why);
}

export function unclear(wanted: Wanted, answer: Exclude<Answer, { kind: "found" | "absent" }>): DnsRecord {
  return judged(wanted, [], answer.kind === "unequal" ? "wrong" : "unknown", answer.remark);
}

/**
 * Judges an answer.
 *
 * @param fault what is wrong with the records found; undefined if nothing is
 * @param without what happens without the record
 */
export function record(
  wanted: Wanted,
  answer: Answer,
  fault: (records: readonly string[]) => string | undefined,
  without: string,
): DnsRecord {
  if (answer.kind === "absent") return absent(wanted, without);
  if (answer.kind !== "found") return unclear(wanted, answer);
  const wrong = fault(answer.records);
  if (wrong !== undefined) return judged(wanted, answer.records, "wrong", wrong);
  return judged(wanted, answer.records, "ok", answer.remark ?? null);
}
