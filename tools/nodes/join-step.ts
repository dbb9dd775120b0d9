import { node, type Text, text } from "../../src/mail/text.ts";
import type { Settings } from "../call/tool.ts";

const NO_ADDRESS = "URL (the address by which nodes reach this server: the operator knows it)";

/**
 * Tells how to give a node its key.
 *
 * @param first a command to run on the node before
 */
export function joinStep({ publicUrl }: Settings, first = ""): Text {
  const server = publicUrl === undefined ? NO_ADDRESS : new URL(publicUrl).origin;
  return text`Once m25-mail-node is installed on the node, run there as root: ${first}${node(`join --key-file /etc/m25-mail-node/key --server ${server}`)}. Paste the key when it asks.`;
}
