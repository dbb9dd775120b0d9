import { setImmediate as nextTurn } from "node:timers/promises";
import type { Contact, SeenNode } from "../db/nodes.ts";
import type { Tables } from "../db/store.ts";

/** Nodes poll every minute; without contact for this long, something is wrong. In ms. */
export const STALE_AFTER = 5 * 60_000;

/** Nodes to judge in one turn of the event loop: a few ms, even if each has its own view. */
const PAGE_ROWS = 250;

/** How long the use of an ended key is reported, in ms: the operator may be away. */
const ENDED_KEY_TOLD = 30 * 86_400_000;

const ADDRESS_REFUSED = "address_refused";

export const nodeStatuses = ["never", "current", "behind", "stale", "failing"] as const;

/** How a node compares with the state that it must serve. */
export interface NodeCondition {
  /** null while the node serves nothing of this history: revisions of two histories do not compare. */
  appliedRevision: number | null;
  status: (typeof nodeStatuses)[number];
  /**
   * One of reportReasons; or `digest_differs`: the node serves other records at the server's revision; or
   * `address_refused`: the server has refused its address since its last sync.
   */
  reason: string | null;
  reasonCount: number | null;
  /** The last use of an ended key of the node; null after 30 days, or once the operator has renewed the key. */
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
  { agrees, differs }: { agrees: boolean; differs: boolean },
  at: string,
): NodeCondition["status"] {
  if (lastSync === null) return "never";
  // A time in the future is from before the clock was set back: it is no contact either.
  if (Math.abs(Date.parse(at) - Date.parse(lastSync.at)) > STALE_AFTER) return "stale";
  if (differs || (report !== null && report.status !== "applied")) return "failing";
  return agrees ? "current" : "behind";
}

function endedKeyHint(name: string, use: Contact | null): string | null {
  if (use === null) return null;
  return (
    `A sync key of the node was used from ${use.address} after it had ended: somebody else may have it. Find out which machine that ` +
    "is and who has the old key file, such as a copy or a backup of the node. Then an operator gives the node a new key at the " +
    `server's shell: m25-mail node rotate-key ${name}.`
  );
}

/** Names the operator's shell for removals: a whole company's mail may depend on them, so no assistant lets them through. */
function hintOf(
  { name, report, refused }: SeenNode,
  status: NodeCondition["status"],
  reason: string | null,
): string | null {
  if (status === "never") {
    return (
      "The node has not joined yet: on the node, do the next_step that came with its key. If the key is lost, the operator " +
      `makes another: m25-mail node rotate-key ${name}.`
    );
  }
  if (status === "stale")
    return "Check on the node whether it runs and reaches the server: m25-mail-node status.";
  if (status === "behind" && report === null) {
    return (
      "The node has called, but has not reported yet what it serves. It reports after its next poll, within a minute or two. " +
      "If it does not, see its log: m25-mail-node status."
    );
  }
  if (status !== "failing") return null;
  if (reason === ADDRESS_REFUSED) {
    return (
      `The node polls from ${refused?.address ?? "an address"}, which is not registered for it, or somebody else has its key. If the address is ` +
      `right, an operator allows it at the server's shell: m25-mail node set ${name} --ip CIDR. The node then comes back within 5 minutes.`
    );
  }
  if (reason === "removals_withheld") {
    return (
      `The node still takes mail for ${report?.count ?? "some"} removed mailboxes, because many were removed at once; the addresses ` +
      "of all later removals wait too. The mailboxes that somebody removed have no login any more; those that a restore or a list of " +
      "domains leaves out keep theirs. If the removals are meant, an operator accepts them at the server's shell: " +
      `m25-mail node accept ${name}; or at the node's, if it runs with --accept local: m25-mail-node accept. If not, bring the ` +
      "mailboxes back: m25-mail user restore EMAIL, or restore FILE; or, if a wrong list of domains leaves them out, " +
      `m25-mail node set ${name} --domains LIST.`
    );
  }
  if (reason === "domain_elsewhere") {
    return (
      `Postfix on the node refuses the mail of ${report?.count ?? "some"} served domains: another setting of its main.cf names them ` +
      "and comes first, as mydestination does with the node's own host name. An operator removes them there (m25-mail-node status " +
      "on the node lists them) and reloads Postfix; or gives the host another name."
    );
  }
  if (reason === "maps_not_used") {
    return (
      "Postfix on the node does not use the node's maps, so it refuses the mail of their domains. An operator installs the main.cf that " +
      "docs/nodes.md names, and reloads Postfix."
    );
  }
  if (reason === "folder_not_writable") {
    return (
      `The mail of ${report?.count ?? "some"} new mailboxes cannot be written to its folder. m25-mail-node status on the node names ` +
      "the folder: an operator gives it to the user of all mail (chown vmail:vmail)."
    );
  }
  if (reason === "digest_differs") {
    return (
      "The node's records differ from the server's at that revision. An operator makes the node fetch everything again, at the " +
      "node's shell: stop its service, delete logins.db (on an MX node.db) with its -wal and -shm, start it again."
    );
  }
  if (report?.reason === "returned_history") {
    return (
      "An older copy of the database answers under this address, in turn with a later one or in its place; the node keeps the " +
      "later state. Stop one of the two. Nodes go over to the other once they hear nothing else; or at their next try, within 5 " +
      "minutes, after m25-mail backup FILE and m25-mail restore FILE there."
    );
  }
  return "The node keeps serving its last state and tries again within 5 minutes; its log has the details: m25-mail-node status.";
}
