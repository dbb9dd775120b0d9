import { byReader, line, node, type Text, text } from "../../src/mail/text.ts";
import type { Settings } from "../call/tool.ts";

const UNKNOWN_URL = text`URL is the address at which nodes reach this server${byReader({
  toOperator: ", such as https://mail-admin.example.nl: --public-url or M25_MAIL_PUBLIC_URL puts it here.",
  toOthers: ": ask the operator.",
})}`;

/** The path at which the server offers the node's Debian package. */
export const NODE_PACKAGE = "/node/m25-mail-node.deb";

/** Tells how to make a fresh machine a node, or how to give an installed node its key if there is no package. */
export function installStep(settings: Settings): Text {
  const sum = settings.nodePackageSum?.();
  if (sum === undefined) return joinStep(settings);
  const server = serverOf(settings);
  const commands = [
    "apt-get update",
    "apt-get install -y wget ca-certificates",
    `wget -nv -O m25-mail-node.deb ${server}${NODE_PACKAGE}`,
    `echo '${sum}  m25-mail-node.deb' | sha256sum -c`,
    "DEBIAN_FRONTEND=noninteractive apt-get install -y ./m25-mail-node.deb",
    `m25-mail-node setup --server ${server}`,
  ];
  const unknown = settings.publicUrl === undefined ? text`${UNKNOWN_URL} ` : [];
  return text`${unknown}On a fresh Debian 12 or 13, run this line as root, and paste the key when it asks:${line(commands.join(" && "))}`;
}

/** Tells how to give a node its renewed key. */
export function renewalStep(settings: Settings, oldKeyEnd: string): Text {
  return text`The old key ends when this one is first used, or at ${oldKeyEnd}. On a node that is set up, run as root, and paste the key when it asks: rm -f /etc/m25-mail-node/key && ${node("join")}. ${installStep(settings)}`;
}

/** Tells how to give an installed node its first key. */
function joinStep(settings: Settings): Text {
  const server = serverOf(settings);
  const unknown = settings.publicUrl === undefined ? text` ${UNKNOWN_URL}` : [];
  return text`Once m25-mail-node is installed on the node, run there as root: ${node(`join --key-file /etc/m25-mail-node/key --server ${server}`)}.${unknown} Paste the key when it asks.`;
}

function serverOf({ publicUrl }: Settings): string {
  return publicUrl === undefined ? "URL" : new URL(publicUrl).origin;
}
