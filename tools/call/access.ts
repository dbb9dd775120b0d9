import * as z from "zod";
import { MailError } from "../../src/mail/error.ts";
import { DomainName } from "../../src/mail/schemas.ts";
import { type Scope, scopes } from "./principal.ts";

/** The limits of a token or of a server over stdio. */
export const accessFields = {
  scopes: z.array(z.enum(scopes)).min(1),
  domains: z
    .array(DomainName)
    .min(1)
    .max(1000)
    .transform((names) => [...new Set(names)].sort()),
};

/** The scope nodes can add a node, whose key reads all domains. */
export const NODES_OR_DOMAINS =
  "The scope nodes and a list of domains exclude each other: nodes serve all domains.";

/**
 * The granted scopes.
 *
 * @param wanted undefined for all scopes
 * @throws MailError invalid_input
 */
export function grantedScopes(wanted: readonly Scope[] | undefined, isLimited: boolean): Scope[] {
  if (wanted === undefined) return scopes.filter((scope) => !(isLimited && scope === "nodes"));
  if (isLimited && wanted.includes("nodes")) {
    throw new MailError("invalid_input", NODES_OR_DOMAINS, "Leave out that scope, or the domains.");
  }
  return [...new Set(wanted)];
}
