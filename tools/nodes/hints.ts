import type { Contact, SeenNode } from "../../db/nodes/nodes.ts";
import type { CheckName } from "../../src/mail/node-checks.ts";
import { byReader, joined, next, node, operator, type Text, text } from "../../src/mail/text.ts";

/**
 * Reasons that the server finds. `digest_differs`: the node serves other records at the server's revision.
 * `address_refused`: the server has refused its address since its last sync. `hashes_refused`: its Dovecot refuses the hashes
 * of some mailboxes. `sending_limit_reached`: some of its mailboxes may not send for now; the node itself works.
 */
export const serverReasons = [
  "digest_differs",
  "address_refused",
  "hashes_refused",
  "sending_limit_reached",
] as const;

export type NodeReason =
  | NonNullable<NonNullable<SeenNode["report"]>["reason"]>
  | (typeof serverReasons)[number];

interface Findings {
  status: string;
  reason: NodeReason | null;
  withheld: number | null;
  endedKeyUse: Contact | null;
}

/** The next step for a node; null if none is needed. */
export function nodeHint(seen: SeenNode, condition: Findings): Text | null {
  const hints = [
    endedKeyHint(seen, condition),
    statusHint(seen, condition),
    withheldHint(seen, condition),
    checksHint(seen),
    limitedHint(seen),
  ].filter((hint) => hint !== null);
  return hints.length === 0 ? null : joined(hints);
}

function endedKeyHint({ name }: SeenNode, { endedKeyUse }: Findings): Text | null {
  if (endedKeyUse === null) return null;
  return text`A sync key of the node was used from ${endedKeyUse.address ?? "an unknown address"} after it had ended: somebody else may have it. Find out which machine that is and who has the old key file, such as a copy or a backup of the node. Then give the node a new key, at the server's shell: ${operator(`node rotate-key ${name}`)}.`;
}

function statusHint(seen: SeenNode, { status, reason, withheld }: Findings): Text | null {
  switch (status) {
    case "never":
      return text`The node has not joined yet: run there the line that came with its key. If the key is lost, make another at the server's shell: ${operator(`node rotate-key ${seen.name}`)}.`;
    case "stale":
      return text`Check on the node whether it runs and reaches the server: ${node("status")}.`;
    case "behind":
      if (seen.report !== null) return null;
      return text`The node has called, but has not reported yet what it serves. It reports after its next poll, within a minute or two. If it does not, see its log: ${node("status")}.`;
    case "failing":
      if (reason === "removals_withheld" && withheld !== null) return null; // see withheldHint()
      return (
        (reason && hintsByReason[reason]?.(seen)) ??
        text`The node serves what it has and tries again within 5 minutes; its log has the details: ${node("status")}.`
      );
    default:
      return null;
  }
}

/** Names the operator's shell: a whole company's mail may depend on removals, so no assistant lets them through. */
function withheldHint({ name }: SeenNode, { withheld }: Findings): Text | null {
  if (withheld === null || withheld === 0) return null;
  return text`Many mailboxes or aliases were removed at once, so until ${byReader({ toOperator: "you accept", toOthers: "an operator accepts" })} this the node still takes mail for ${withheld} of them, and for any that are removed later. A mailbox that somebody removed cannot log in any more; one that only a restore or a list of domains leaves out still can. If the removals are meant, ${byReader({ toOperator: "accept them", toOthers: "the operator accepts them" })} at the server's shell: ${operator(`node accept ${name}`)}; or at the node's, if it is set up for that: ${node("accept")}. If they are a mistake, bring the mailboxes back: ${operator("user restore EMAIL")}, or ${operator("restore FILE")}; or, if a list of domains is wrong, ${operator(`node set ${name} --domains LIST`)}.`;
}

/** Each check by its failure. */
const failures: Readonly<Record<CheckName, string>> = {
  services: "a service does not run",
  replica: "it has no current state",
  port_25: "it does not take mail on port 25",
  port_465: "users cannot send on port 465",
  port_587: "users cannot send on port 587",
  port_993: "users cannot read on port 993",
  port_143: "users cannot read on port 143",
  port_4190: "users cannot edit their filters on port 4190",
  certificate: "its certificate is missing, wrong or about to end",
  disk: "its disk is almost full",
  queue: "many mails wait in its queue",
  clock: "nothing sets its clock",
  dns: "its name in DNS is missing or wrong (A, AAAA or PTR)",
  from_outside: "its ports cannot be reached",
  mail_out: "it cannot reach port 25 of other servers",
  blocklist: "a blocklist has its address",
};

function checksHint({ report }: SeenNode): Text | null {
  const failed = report?.failedChecks ?? [];
  if (failed.length === 0) return null;
  return text`The node's own check found: ${failed.map((name) => failures[name]).join("; ")}. ${node("check")} on the node says what to do.`;
}

function limitedHint({ report }: SeenNode): Text | null {
  const limited = report?.limitedUsers ?? 0;
  if (limited === 0) return null;
  return text`${limited} of the node's mailboxes wrote to more recipients within a day than they may: a password may be stolen. At the server's shell ${operator("user list-limited")} lists them. Give each whose owner did not send that mail a new password (${next("update-password")}), and other limits to one that may send so much: ${operator("user set-limits EMAIL")}.`;
}

const hintsByReason: Partial<Record<NodeReason, (seen: SeenNode) => Text>> = {
  address_refused: ({ name, refused }) =>
    text`The node's key is used from ${refused?.address ?? "an address"}, which is not registered for the node: the node has moved, or somebody else has its key. If the address is the node's, allow it at the server's shell: ${operator(`node set ${name} --ip CIDR`)}. The node then comes back within 5 minutes.`,
  domain_elsewhere: ({ report }) =>
    text`Postfix on the node refuses the mail of ${report?.count ?? "some"} served domains: another setting of its main.cf names them too and comes first, such as mydestination with the node's own host name. On the node, remove them from that setting (${node("status")} lists them) and reload Postfix; or give the host another name.`,
  maps_not_used: () =>
    text`Postfix on the node does not use the node's maps, so it refuses the mail of their domains. Its own main.cf comes back with ${node("setup")}, at the node's shell.`,
  folder_not_writable: ({ report }) =>
    text`The mail of ${report?.count ?? "some"} new mailboxes cannot be written to its folder. ${node("status")} on the node names the folder: give it to the user of all mail (chown vmail:vmail).`,
  digest_differs: () =>
    text`The node's records differ from the server's at that revision. Make the node fetch everything again, at its shell: stop m25-mail-node, Dovecot and Postfix, delete logins.db (on an MX node.db) with its -wal and -shm, start them again, m25-mail-node first.`,
  hashes_refused: ({ report }) =>
    text`Dovecot ${report?.dovecot ?? "2.4"} on the node refuses the hashes of some mailboxes, which were imported while each node had Dovecot 2.3: their owners cannot log in there, although their password is right. Their mail arrives. At the server's shell ${operator("user list-weak")} lists the mailboxes. Give each a password link (${operator("call create-password-link")}), or a new password: ${next("update-password")}.`,
  returned_history: () =>
    text`A server with an older copy of the database answers at the server's address, alternately with a later one or instead of it. The node keeps the later state. Stop the wrong server. The node takes the right one's state after ten polls; or within 5 minutes, after ${operator("backup FILE")} and ${operator("restore FILE")} at the right server's shell.`,
};
