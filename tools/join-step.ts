import type { Settings } from "./tool.ts";

const NO_ADDRESS = "URL (the address by which nodes reach this server: the operator knows it)";

/**
 * How a node is given its key.
 *
 * @param first what is to be done on the node before
 */
export function joinStep({ publicUrl }: Settings, first = ""): string {
  const server = publicUrl === undefined ? NO_ADDRESS : new URL(publicUrl).origin;
  return `Once m25-mail-node is installed on the node, there as root: ${first}m25-mail-node join --key-file /etc/m25-mail-node/key --server ${server}. Paste the key when it asks.`;
}
