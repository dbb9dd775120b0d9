import { MailError } from "../src/mail/error.ts";
import type { Principal, Scope } from "./principal.ts";
import { mcpName, type ParsedCall, type Tool } from "./tool.ts";

/** @throws MailError forbidden */
export function authorise(principal: Principal, tool: Tool, parsed: ParsedCall): void {
  if (isBeyondDomains(principal, tool, parsed.scope)) {
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
      `This access token lacks the scope "${missing}", which this call of ${mcpName(tool)} needs.`,
      "Ask the operator for a token with that scope (m25-mail token create NAME --scopes …).",
    );
  }
}

/** The scope with which a call would be allowed; undefined where it is, and where no scope opens it to this principal. */
export function missingScope(principal: Principal, tool: Tool, { scope }: ParsedCall): Scope | undefined {
  return principal.scopes.has(scope) || isBeyondDomains(principal, tool, scope) ? undefined : scope;
}

/** Of these tools those that are for this principal; the others can be called, and authorise() says why not. */
export function toolsFor(principal: Principal, tools: readonly Tool[]): readonly Tool[] {
  return tools.filter((tool) => !isBeyondDomains(principal, tool));
}

/** True for what is of all domains, as nodes are, where the principal is for some only: no scope opens that to it. */
function isBeyondDomains({ domains }: Principal, { ofAllDomains }: Tool, scope?: Scope): boolean {
  return domains !== undefined && (ofAllDomains || scope === "nodes");
}
