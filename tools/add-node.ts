import * as z from "zod";
import { Network, NodeName } from "../src/mail/schemas.ts";
import { operator, text } from "../src/mail/text.ts";
import { newCredential } from "./call/credential.ts";
import { Timestamp, Words } from "./call/fields.ts";
import { defineTool } from "./call/tool.ts";
import { installStep } from "./nodes/join-step.ts";

export const addNode = defineTool({
  endpoint: "add-node",
  title: "Register a mail node",
  description: text`Registers a machine that runs Postfix and Dovecot, and returns its sync key, shown only now. First use nodes that have not joined yet. The key opens all domains and password hashes: give it, with next_step, only to the person who sets the machine up. Only the operator can renew a lost key (${operator("node rotate-key")}) or remove a node.`,
  effect: "write",
  scopes: ["nodes"],
  ofAllDomains: true,
  input: z.strictObject({
    name: NodeName,
    ip_address: Network.optional().describe(
      "The node may call only from this IP address or CIDR range, as the server sees it. Leave out if unsure, and behind a home router or reverse proxy.",
    ),
  }),
  output: z.object({
    name: z.string(),
    ip_address: z.string().nullable(),
    sync_key: z.string().describe("Shown only now."),
    created_at: Timestamp,
    next_step: Words.describe("Steps to take on the node."),
  }),
  async run({ tables, at, settings }, { name, ip_address = null }) {
    const key = newCredential("syncKey");
    await tables.nodes.add({ name, ipAddress: ip_address, keyId: key.id, keyHash: key.hash }, at);
    return {
      name,
      ip_address,
      sync_key: key.text,
      created_at: at,
      next_step: text`The node exchanges this key at once for one of its own; this one then stops working. ${installStep(settings)}`,
    };
  },
});
