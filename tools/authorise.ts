import { MailError } from "../src/mail/error.ts";
import type { Principal, Scope } from "./principal.ts";
import { mcpName, type ParsedCall, type Tool } from "./tool.ts";

/** @throws MailError forbidden */
export function authorise(principal: Principal, tool: Tool, parsed: ParsedCall): void {
  if (!isFor(principal, tool, parsed)) {
    throw new MailError(
      "forbidden",
      "This access is for some domains only, and this concerns all of them.",
      "Leave it to the operator. Changes of yours are live on the nodes within a minute.",
    );
  }
  const missing = missingScope(principal, tool, parsed);
  if (missing !== undefined) {
    throw new MailError(
      "forbidden",
      `This access token may not use ${mcpName(tool)} in this way: it lacks the scope "${missing}".`,
      "Ask the operator for a token with that scope (m25-mail token create NAME --scopes …).",
    );
  }
}

/** The scope with which a call would be allowed; undefined where it is, and where no scope opens it to this principal. */
export function missingScope(principal: Principal, tool: Tool, parsed: ParsedCall): Scope | undefined {
  const { scope } = parsed;
  return principal.scopes.has(scope) || !isFor(principal, tool, parsed) ? undefined : scope;
}

/** False for what is of all domains, nodes among it, where the principal is for some only: no scope opens that to it. */
function isFor({ domains }: Principal, { ofAllDomains }: Tool, { scope }: ParsedCall): boolean {
  return domains === undefined || (!ofAllDomains && scope !== "nodes");
}
