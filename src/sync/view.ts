import { createHash } from "node:crypto";
import type { NodeRole } from "./records.ts";

/** The part of the state that a node is given: its role's records, of all domains or of some. */
export interface View {
  /** Equal for equal views. A cursor of another view leads to a snapshot. */
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
