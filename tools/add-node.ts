import * as z from "zod";
import { Network, NodeName } from "../src/mail/schemas.ts";
import { newCredential } from "./credential.ts";
import { Timestamp } from "./fields.ts";
import { defineTool } from "./tool.ts";

const NEXT_STEP =
  "On the node, as root: m25-mail-node join --server URL --key-file /etc/m25-mail-node/key, then paste the key. " +
  "It is exchanged at once for another one and is worth nothing afterwards.";

export const addNode = defineTool({
  endpoint: "add-node",
  title: "Register a mail node",
  description:
    "Registers a machine that runs Postfix and Dovecot, and returns its sync key. The key is shown this once and " +
    "gives access to all domains and password hashes: hand it, with next_step, to the person who sets the node " +
    "up, and repeat it nowhere else. See the nodes with m25_mail_list_nodes.",
  effect: "write",
  scopes: ["nodes"],
  ofAllDomains: true,
  input: z.strictObject({
    name: NodeName,
    ip_address: Network.optional().describe(
      "Only from this IP address or CIDR range may the node poll, e.g. 192.0.2.7 or 192.0.2.0/24. Leave out to allow any, and behind a reverse proxy, whose address is all that the server sees.",
    ),
  }),
  output: z.object({
    name: z.string(),
    ip_address: z.string().nullable(),
    sync_key: z.string().describe("Shown this once; stored only as a hash."),
    created_at: Timestamp,
    next_step: z.string().describe("What to do on the node with the key."),
  }),
  async run({ tables, at }, { name, ip_address = null }) {
    const key = newCredential("syncKey");
    await tables.nodes.add({ name, ipAddress: ip_address, keyId: key.id, keyHash: key.hash }, at);
    return { name, ip_address, sync_key: key.text, created_at: at, next_step: NEXT_STEP };
  },
});
