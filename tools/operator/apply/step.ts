export const applyOutcomes = ["added", "changed", "removed", "unchanged", "kept", "refused"] as const;

/** The step of an apply for one domain, mailbox or alias, and its reason. */
export interface Step {
  name: string;
  outcome: (typeof applyOutcomes)[number];
  reason?: string;
}

export function refused(name: string, reason = ""): Step {
  return { name, outcome: "refused", reason };
}
