import { setImmediate as nextTurn } from "node:timers/promises";
import type { Contact, SeenNode } from "../db/nodes.ts";
import type { Tables } from "../db/store.ts";

/** Nodes poll every minute; without contact for this long, something is wrong. In ms. */
export const STALE_AFTER = 5 * 60_000;

/** Nodes to judge in one turn of the event loop: a few ms, even if each has its own view. */
const PAGE_ROWS = 250;

/** ms to report the use of an ended key: the operator may be away. */
const ENDED_KEY_TOLD = 30 * 86_400_000;

const ADDRESS_REFUSED = "address_refused";

export const nodeStatuses = ["never", "current", "behind", "stale", "failing"] as const;

/** How a node stands to the state that it must serve. */
export interface NodeCondition {
  /** null while the node serves nothing of this history: a number of another says nothing about this one. */
  appliedRevision: number | null;
  status: (typeof nodeStatuses)[number];
  /**
   * One of reportReasons; or `digest_differs`: at the server's revision the node serves other records; or
   * `address_refused`: since it called last it has been refused for its address.
   */
  reason: string | null;
  reasonCount: number | null;
  /** The last use of a key of the node that had ended, of the last 30 days, and before the operator renewed the key. */
  endedKeyUse: Contact | null;
  hint: string | null;
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

/** Judges nodes by what they said last and when they called. */
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
  for (const { node, applied, digest } of seen) {
    const { report } = node;
    const agrees = digest !== null && digest === digests.get(node.view.id);
    const differs = report?.status === "applied" && digest !== null && !agrees;
    const refused = isRefused(node, at);
    const status = refused ? "failing" : statusOf(node, { agrees, differs }, at);
    const reason = refused ? ADDRESS_REFUSED : differs ? "digest_differs" : (report?.reason ?? null);
    const endedKeyUse = endedKeyUseOf(node, at);
    const hints = [endedKeyHint(node.name, endedKeyUse), hintOf(node, status, reason)];
    const condition: NodeCondition = {
      appliedRevision: applied,
      status,
      reason,
      reasonCount: refused ? null : (report?.count ?? null),
      endedKeyUse,
      hint: hints.filter((hint) => hint !== null).join(" ") || null,
    };
    judged.push({ node, condition });
  }
  return judged;
}

/** True where the last that was heard of it within the time is that it may not call from where it is. */
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
  { agrees, differs }: { agrees: boolean; differs: boolean },
  at: string,
): NodeCondition["status"] {
  if (lastSync === null) return "never";
  // A time that is to come was noted before the clock was set back: no contact either.
  if (Math.abs(Date.parse(at) - Date.parse(lastSync.at)) > STALE_AFTER) return "stale";
  if (differs || (report !== null && report.status !== "applied")) return "failing";
  return agrees ? "current" : "behind";
}

function endedKeyHint(name: string, use: Contact | null): string | null {
  if (use === null) return null;
  return (
    `A sync key of the node was used from ${use.address} after it had ended: somebody else may have it. See which machine that is ` +
    "and who has the old key file, such as a copy or a backup of the node. Then an operator gives the node a fresh key at the " +
    `server's shell: m25-mail node rotate-key ${name}.`
  );
}

/** Only an operator at a shell can let removals through: the mail of a whole company may hang on it. */
function hintOf(
  { name, report, refused }: SeenNode,
  status: NodeCondition["status"],
  reason: string | null,
): string | null {
  if (status === "never") {
    return (
      "The node has not joined yet: on it, do the next_step that came with its key. If the key is lost, the operator " +
      `makes another: m25-mail node rotate-key ${name}.`
    );
  }
  if (status === "stale")
    return "See on the node whether it runs and reaches the server: m25-mail-node status.";
  if (status === "behind" && report === null) {
    return (
      "The node has called, but has not said yet what it serves: it does after its next poll, within a minute or two. Else see " +
      "its log: m25-mail-node status."
    );
  }
  if (status !== "failing") return null;
  if (reason === ADDRESS_REFUSED) {
    return (
      `It polls from ${refused?.address ?? "an address"}, which is not registered for it, or somebody else has its key. If the address is right, an ` +
      `operator lets it in at the server's shell: m25-mail node set ${name} --ip CIDR. It then comes back within 5 minutes.`
    );
  }
  if (reason === "removals_withheld") {
    return (
      `The node keeps serving ${report?.count ?? "some"} mailboxes that were removed: many were at once, and then all later ` +
      "removals wait too. If they are meant, an operator lets them go at the server's shell: " +
      `m25-mail node accept ${name}; or at the node's, where it runs with --accept local: m25-mail-node accept. Else bring ` +
      "them back: m25-mail user restore EMAIL, or restore FILE; or, where a wrong list of domains leaves them out, " +
      `m25-mail node set ${name} --domains LIST.`
    );
  }
  if (reason === "domain_elsewhere") {
    return (
      `Postfix on the node refuses the mail of ${report?.count ?? "some"} served domains: a setting of its main.cf that comes first ` +
      "names them, as mydestination names the node's own host name. An operator removes them there (m25-mail-node status on the " +
      "node tells which) and reloads Postfix; or the host gets another name."
    );
  }
  if (reason === "maps_not_used") {
    return (
      "Postfix on the node does not ask for the node's maps, so it refuses their mail. An operator installs the main.cf that " +
      "docs/nodes.md names, and reloads Postfix."
    );
  }
  if (reason === "digest_differs") {
    return (
      "The node serves other records than the server has at that revision. An operator makes it take everything anew " +
      "at the node's shell: stop its service, delete state.json and snapshot.ndjson in its folder, start it again."
    );
  }
  if (report?.reason === "returned_history") {
    return (
      "An older copy of the database answers under this address, in turn with another or in its place, and the node keeps what " +
      "the later one said. Leave one of them: nodes go over to it once they hear nothing else; or, after m25-mail backup FILE " +
      "and m25-mail restore FILE there, at their next try, within 5 minutes."
    );
  }
  return "The node serves what it had and tries again within 5 minutes; its log has the details: m25-mail-node status.";
}
