import * as z from "zod";
import type { MailNode } from "../../../db/nodes/nodes.ts";
import { MailError } from "../../../src/mail/error.ts";
import { DomainName, Network, NodeName } from "../../../src/mail/schemas.ts";
import { field, operator, text } from "../../../src/mail/text.ts";
import { newCredential } from "../../call/credential.ts";
import { Timestamp, Words } from "../../call/fields.ts";
import { defineTool } from "../../call/tool.ts";
import { renewalStep } from "../../nodes/join-step.ts";
import { keyEnd } from "../../nodes/key-rotation.ts";

const TAKES_EFFECT = "at once on a node that waits for changes, else at its next poll";

const NOT_YET =
  "not on the nodes in not_arrived: they have not reported this history yet (new nodes, or after a restore), and ignore an " +
  "earlier acceptance. Accept again when m25-mail node list shows them withholding";

const NOT_SAID =
  "not known how many removals it withholds: its m25-mail-node is older than the server, or cannot read its replica " +
  "(see m25-mail-node status there)";

export const setNode = defineTool({
  endpoint: "set-node",
  title: "Limit a node",
  description: "Sets which domains a node gets, in which role, and from where it may poll.",
  effect: "write",
  scopes: ["nodes"],
  input: z.strictObject({
    name: NodeName,
    domains: z
      .union([z.literal("all"), z.array(DomainName).min(1)], {
        error: "this must be all, or names of domains, such as example.nl,example.org.",
      })
      .optional(),
    role: z.enum(["mail", "mx"]).optional(),
    ip_address: z
      .union([z.literal("any"), Network], {
        error:
          "this must be an address such as 192.0.2.7 or 2001:db8::7, a range such as 192.0.2.0/24, or any.",
      })
      .optional(),
  }),
  output: z.object({
    name: z.string(),
    domains: z.array(z.string()).nullable(),
    role: z.string(),
    ip_address: z.string().nullable(),
  }),
  async run({ tables }, { name, domains, role, ip_address }) {
    for (const domain of Array.isArray(domains) ? domains : []) await tables.domains.get(domain);
    const node = await tables.nodes.set(name, {
      role,
      domains: Array.isArray(domains) ? [...new Set(domains)].sort() : domains && null,
      ipAddress: ip_address === "any" ? null : ip_address,
    });
    const { view, ipAddress } = node;
    return { name, domains: view.domains && [...view.domains], role: view.role, ip_address: ipAddress };
  },
});

export const rotateKey = defineTool({
  endpoint: "rotate-key",
  title: "Give a node a new sync key",
  description: "Makes a second key; the old one ends when the new one is first used, or a day later.",
  effect: "write",
  scopes: ["nodes"],
  input: z.strictObject({ name: NodeName }),
  output: z.object({
    name: z.string(),
    sync_key: z.string(),
    old_key_ends_at: Timestamp,
    next_step: Words,
  }),
  async run({ tables, at, settings }, { name }) {
    const key = newCredential("syncKey");
    const end = await tables.nodes.addOperatorsKey(name, key, keyEnd(new Date(at)), at);
    return { name, sync_key: key.text, old_key_ends_at: end, next_step: renewalStep(settings, end) };
  },
});

export const acceptRemovals = defineTool({
  endpoint: "accept-removals",
  title: "Let withheld removals through",
  description: "Lets a node, or all nodes, carry out the removals that it withholds.",
  effect: "destroy",
  scopes: ["nodes"],
  input: z.strictObject({ name: NodeName.optional(), all: z.boolean().default(false) }),
  output: z.object({
    names: z.array(z.string()),
    revision: z.int(),
    withheld: z.int().describe("Mailboxes and aliases whose removal they withhold, by their last reports."),
    takes_effect: z.string(),
    not_arrived: z
      .array(z.string())
      .describe("Nodes that have not reported this history yet: accept again once they withhold removals."),
  }),
  async run({ tables }, { name, all }) {
    if ((name === undefined) !== all) {
      throw new MailError(
        "invalid_input",
        text`Give the name of a node, or ${field("all")}.`,
        text`${operator("node list")} shows the nodes.`,
      );
    }
    const revision = await tables.state.revision();
    const history = await tables.state.history();
    const accepted = await tables.nodes.acceptRemovals(name, revision);
    // A node ignores an acceptance from before its first report of this history.
    const hasArrived = ({ report }: MailNode) => report?.history === history;
    const arrived = accepted.filter(hasArrived);
    const notArrived = accepted.filter((node) => !hasArrived(node)).map((node) => node.name);
    const withheld = arrived.reduce((sum, { report }) => sum + (report?.withheld?.addresses ?? 0), 0);
    const silent = arrived.filter(({ report }) => !report?.withheld).map((node) => node.name);
    const nothing = `nothing is withheld now; this lets through removals up to revision ${revision}`;
    const here = withheld === 0 && silent.length === 0 ? nothing : TAKES_EFFECT;
    return {
      names: accepted.map((node) => node.name),
      revision,
      withheld,
      takes_effect: [
        ...(arrived.length > 0 || notArrived.length === 0 ? [here] : []),
        ...(silent.length > 0 ? [`${silent.join(", ")}: ${NOT_SAID}`] : []),
        ...(notArrived.length > 0 ? [NOT_YET] : []),
      ].join("; "),
      not_arrived: notArrived,
    };
  },
});

export const removeNode = defineTool({
  endpoint: "remove-node",
  title: "Remove a node",
  description:
    "Ends a node's sync keys and forgets its limits. The node keeps serving the last state that it applied.",
  effect: "destroy",
  scopes: ["nodes"],
  input: z.strictObject({ name: NodeName }),
  output: z.object({
    name: z.string(),
    role: z.string(),
    domains: z.array(z.string()).nullable(),
    ip_address: z.string().nullable(),
    set_again: z
      .string()
      .nullable()
      .describe(
        "Command that limits it as before, after adding it again and before it joins; null if it was not limited.",
      ),
  }),
  async run({ tables, at }, { name }) {
    const node = await tables.nodes.remove(name, at);
    const { view, ipAddress } = node;
    const domains = view.domains && [...view.domains];
    return { name, role: view.role, domains, ip_address: ipAddress, set_again: limitsCommand(node) };
  },
});

function limitsCommand({ name, view: { role, domains }, ipAddress }: MailNode): string | null {
  const flags = [
    role === "mail" ? "" : ` --role ${role}`,
    domains === null ? "" : ` --domains ${domains.join(",")}`,
    ipAddress === null ? "" : ` --ip ${ipAddress}`,
  ].join("");
  return flags === "" ? null : `m25-mail node set ${name}${flags}`;
}
