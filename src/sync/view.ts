import { createHash } from "node:crypto";
import type { NodeRole } from "./records.ts";

/** The part of the state that a node gets: its role's records, for all domains or some. */
export interface View {
  /** Equal views have equal ids. A cursor of another view leads to a snapshot. */
  id: string;
  role: NodeRole;
  /** Sorted; null is all domains. */
  domains: readonly string[] | null;
}

export function viewOf(role: NodeRole, domains: readonly string[] | null): View {
  const part = domains === null ? "" : createHash("sha256").update(domains.join()).digest("hex").slice(0, 32);
  return { id: `${role}${part}`, role, domains };
}

export const wholeView: View = viewOf("mail", null);
