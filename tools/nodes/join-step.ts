import { byReader, node, type Text, text } from "../../src/mail/text.ts";
import type { Settings } from "../call/tool.ts";

const UNKNOWN_URL = text`URL is the address at which nodes reach this server${byReader({
  toOperator: ", such as https://mail-admin.example.nl: --public-url or M25_MAIL_PUBLIC_URL puts it here.",
  toOthers: ": ask the operator.",
})}`;

/**
 * Tells how to give a node its key.
 *
 * @param first a command to run on the node before
 */
export function joinStep({ publicUrl }: Settings, first = ""): Text {
  const server = publicUrl === undefined ? "URL" : new URL(publicUrl).origin;
  const unknown = publicUrl === undefined ? text` ${UNKNOWN_URL}` : [];
  return text`Once m25-mail-node is installed on the node, run there as root: ${first}${node(`join --key-file /etc/m25-mail-node/key --server ${server}`)}.${unknown} Paste the key when it asks.`;
}
