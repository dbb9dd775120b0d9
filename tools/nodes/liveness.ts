import * as z from "zod";
import { next, type Text, text } from "../../src/mail/text.ts";
import { Words } from "../call/fields.ts";
import type { Principal } from "../call/principal.ts";
import type { ToolContext } from "../call/tool.ts";
import { STALE_AFTER } from "./condition.ts";

/** Result fields of every change: when nodes serve it. */
export const liveFields = {
  revision: z
    .int()
    .nullable()
    .describe(
      "Live on nodes whose applied_revision is at least this; null if your access is limited to some domains.",
    ),
  note: Words.optional().describe(
    "Why no node will serve this soon; absent if a node for the domain has called within 5 minutes.",
  ),
};

const NOT_CALLED =
  "Stored, but not live: no node (mail server) for this domain has called in the last 5 minutes. Until one does, a node may " +
  "still accept an old password, and mail for a removed mailbox or domain.";

/** How many nodes may serve a domain, and how many of those have ever called. */
export interface NodeCounts {
  added: number;
  joined: number;
}

/**
 * The revision after a change of this domain, with a note while no node would serve it within a minute.
 *
 * @param isRemoval true: where no node has joined, nothing is left to take away
 */
export async function liveness(context: ToolContext, domain: string, { isRemoval = false } = {}) {
  const note = await noteFor(context, domain, { isRemoval });
  return { revision: await context.tables.state.revision(), ...note };
}

/** The note of liveness() alone. It takes one statement, which may run beside the change. */
export async function noteFor(
  { tables: { nodes }, at, principal }: ToolContext,
  domain: string,
  { isRemoval = false } = {},
): Promise<{ note?: Text }> {
  const now = Date.parse(at);
  const [from, to] = [now - STALE_AFTER, now + STALE_AFTER].map((time) => new Date(time).toISOString());
  const counts = await nodes.silentFor(domain, String(from), String(to));
  if (counts === undefined || (isRemoval && counts.joined === 0)) return {};
  return { note: notLive(counts, principal) };
}

/** Why a change is not live soon, and what this caller can do about it. */
export function notLive({ added, joined }: NodeCounts, { domains, scopes }: Principal): Text {
  // A caller limited to some domains may not learn which nodes there are.
  if (domains !== undefined || !scopes.has("nodes")) {
    return text`${NOT_CALLED} Only the operator can mend this.`;
  }
  if (added === 0) {
    return text`Stored, but not live: there is no node (mail server) for this domain yet. To add one: ${next("add-node")}.`;
  }
  if (joined === 0) {
    return text`Stored, but not live: no node (mail server) for this domain has joined yet. How to join those that were added: ${next("list-nodes")}.`;
  }
  return text`${NOT_CALLED} Next step: ${next("list-nodes")}.`;
}
