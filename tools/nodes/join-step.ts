import { node, type Text, text } from "../../src/mail/text.ts";
import type { Settings } from "../call/tool.ts";

/**
 * Tells how to give a node its key.
 *
 * @param first a command to run on the node before
 */
export function joinStep({ publicUrl }: Settings, first = ""): Text {
  const server = publicUrl === undefined ? "URL" : new URL(publicUrl).origin;
  const unknown =
    publicUrl === undefined ? " URL is the address at which nodes reach this server: ask the operator." : "";
  return text`Once m25-mail-node is installed on the node, run there as root: ${first}${node(`join --key-file /etc/m25-mail-node/key --server ${server}`)}.${unknown} Paste the key when it asks.`;
}
