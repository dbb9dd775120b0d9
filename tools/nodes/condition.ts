import { setImmediate as nextTurn } from "node:timers/promises";
import type { Contact, SeenNode } from "../../db/nodes/nodes.ts";
import type { Tables } from "../../db/store.ts";
import type { Text } from "../../src/mail/text.ts";
import { type NodeReason, nodeHint } from "./hints.ts";

/** Nodes poll every minute; without contact for this long, something is wrong. In ms. */
export const STALE_AFTER = 5 * 60_000;

/** Nodes to judge in one turn of the event loop: a few ms, even if each has its own view. */
const PAGE_ROWS = 250;

/** How long the use of an ended key is reported, in ms: the operator may be away. */
const ENDED_KEY_TOLD = 30 * 86_400_000;

export const nodeStatuses = ["never", "current", "behind", "stale", "failing"] as const;

/** How a node compares with the state that it must serve. */
export interface NodeCondition {
  /** null while the node serves nothing of this history: revisions of two histories do not compare. */
  appliedRevision: number | null;
  status: (typeof nodeStatuses)[number];
  reason: NodeReason | null;
  reasonCount: number | null;
  /** Addresses whose removal the node withholds, by its last report; null if it has not said. */
  withheld: number | null;
  /** The last use of an ended key of the node; null after 30 days, or once the operator has renewed the key. */
  endedKeyUse: Contact | null;
  hint: Text | null;
}

export interface JudgedNode {
  node: SeenNode;
  condition: NodeCondition;
}

/** All nodes by name, a page at a time. Other requests are served between two pages. */
export async function* nodePages({ nodes }: Tables): AsyncGenerator<readonly SeenNode[]> {
  let page = await nodes.page(PAGE_ROWS);
  while (page.length > 0) {
    yield page;
    await nextTurn();
    page = await nodes.page(PAGE_ROWS, page.at(-1)?.name);
  }
}

/** Judges all nodes, a page at a time. */
export async function* allConditions(tables: Tables, at: string): AsyncGenerator<JudgedNode> {
  for await (const page of nodePages(tables)) yield* await conditionsOf(tables, at, page);
}

/** Judges nodes by their last report and the time of their last call. */
export async function conditionsOf(
  tables: Tables,
  at: string,
  nodes: readonly SeenNode[],
): Promise<JudgedNode[]> {
  const revision = await tables.state.revision();
  const history = await tables.state.history();
  const judged = [];
  const seen = nodes.map((node) => {
    const { report } = node;
    const applied = report?.history === history ? report.revision : null;
    return { node, applied, digest: applied === revision ? (report?.digest ?? null) : null };
  });
  const comparable = seen.filter(({ digest }) => digest !== null);
  const digests = await tables.state.digestsOf(comparable.map(({ node }) => node.view));
  const refusedHashes = await refusedHashesOf(tables, nodes);
  for (const { node, applied, digest } of seen) {
    const { report } = node;
    const agrees = digest !== null && digest === digests.get(node.view.id);
    const differs = report?.status === "applied" && digest !== null && !agrees;
    const refused = isRefused(node, at);
    const hashes = report?.status === "applied" ? (refusedHashes.get(node) ?? 0) : 0;
    const limited = report?.limitedUsers ?? 0;
    const status = refused ? "failing" : statusOf(node, { agrees, differs, hashes }, at);
    const reason: NodeReason | null = refused
      ? "address_refused"
      : differs
        ? "digest_differs"
        : hashes > 0
          ? "hashes_refused"
          : (report?.reason ?? (limited > 0 ? "sending_limit_reached" : null));
    const counts: Record<string, number> = { hashes_refused: hashes, sending_limit_reached: limited };
    const endedKeyUse = endedKeyUseOf(node, at);
    const condition = {
      appliedRevision: applied,
      status,
      reason,
      reasonCount: refused ? null : (counts[reason ?? ""] ?? report?.count ?? null),
      withheld: report?.withheld?.addresses ?? null,
      endedKeyUse,
    };
    judged.push({ node, condition: { ...condition, hint: nodeHint(node, condition) } });
  }
  return judged;
}

/** By the nodes with a Dovecot later than 2.3: how many of their mailboxes have hashes that it refuses. */
async function refusedHashesOf(
  { users }: Tables,
  nodes: readonly SeenNode[],
): Promise<Map<SeenNode, number>> {
  const later = nodes.filter(
    ({ view, report }) => view.role === "mail" && (report?.dovecot ?? "2.3") !== "2.3",
  );
  const counts = new Map<string, number>(); // many nodes share few views
  for (const { view } of later) {
    if (!counts.has(view.id)) counts.set(view.id, await users.weakCount(view.domains));
  }
  return new Map(later.map((node) => [node, counts.get(node.view.id) ?? 0]));
}

/** True if the node's last contact was refused for its address, at most STALE_AFTER ago. */
function isRefused({ lastSync, refused }: SeenNode, at: string): boolean {
  if (refused === null || (lastSync !== null && lastSync.at >= refused.at)) return false;
  return Math.abs(Date.parse(at) - Date.parse(refused.at)) <= STALE_AFTER;
}

function endedKeyUseOf({ endedKeyUse }: SeenNode, at: string): Contact | null {
  if (endedKeyUse === null) return null;
  return Math.abs(Date.parse(at) - Date.parse(endedKeyUse.at)) <= ENDED_KEY_TOLD ? endedKeyUse : null;
}

function statusOf(
  { lastSync, report }: SeenNode,
  { agrees, differs, hashes }: { agrees: boolean; differs: boolean; hashes: number },
  at: string,
): NodeCondition["status"] {
  if (lastSync === null) return "never";
  // A time in the future is from before the clock was set back: it is no contact either.
  if (Math.abs(Date.parse(at) - Date.parse(lastSync.at)) > STALE_AFTER) return "stale";
  if (differs || hashes > 0 || (report !== null && report.status !== "applied")) return "failing";
  return agrees ? "current" : "behind";
}
