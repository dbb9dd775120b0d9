export const applyOutcomes = ["added", "changed", "removed", "unchanged", "kept", "refused"] as const;

/** What apply does with one domain, mailbox or alias, and why. */
export interface Step {
  name: string;
  outcome: (typeof applyOutcomes)[number];
  reason?: string;
}

export function refused(name: string, reason = ""): Step {
  return { name, outcome: "refused", reason };
}
