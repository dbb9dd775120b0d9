import { MailError } from "../../src/mail/error.ts";
import { operator, text } from "../../src/mail/text.ts";
import type { Principal, Scope } from "./principal.ts";
import type { ParsedCall, Tool } from "./tool.ts";

/** @throws MailError forbidden */
export function authorise(principal: Principal, tool: Tool, parsed: ParsedCall): void {
  if (isBeyondDomains(principal, tool, parsed.scope)) {
    throw new MailError(
      "forbidden",
      "This access is for some domains only, and this call concerns all domains.",
      "Leave it to the operator. Your changes are live within a minute, unless their result has a note.",
    );
  }
  const missing = missingScope(principal, tool, parsed);
  if (missing !== undefined) {
    throw new MailError(
      "forbidden",
      `This access lacks the scope "${missing}", which this call needs.`,
      principal.door === "stdio"
        ? text`Ask the operator to start this server with that scope (${operator("stdio --scopes …")}).`
        : text`Ask the operator for a token with that scope (${operator("token create NAME --scopes …")}).`,
    );
  }
}

/** The scope that a call lacks; undefined if it is allowed, or if no scope would allow it to this principal. */
export function missingScope(principal: Principal, tool: Tool, { scope }: ParsedCall): Scope | undefined {
  return principal.scopes.has(scope) || isBeyondDomains(principal, tool, scope) ? undefined : scope;
}

/**
 * The tools that this principal may use, or may ask the operator for. Calls of the others reach authorise(), which
 * says why not.
 */
export function toolsFor(principal: Principal, tools: readonly Tool[]): readonly Tool[] {
  const { scopes, mayAskForMore = false } = principal;
  return tools.filter(
    (tool) =>
      !isBeyondDomains(principal, tool) && (mayAskForMore || tool.scopes.some((scope) => scopes.has(scope))),
  );
}

/** True if the tool or scope concerns all domains, as nodes do, and the principal is limited to some: no scope helps. */
function isBeyondDomains({ domains }: Principal, { ofAllDomains }: Tool, scope?: Scope): boolean {
  return domains !== undefined && (ofAllDomains || scope === "nodes");
}
