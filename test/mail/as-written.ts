/** A server and a node on a fresh Debian, set up by the pages' commands as written. */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { onTestFinished } from "vitest";
import { command } from "../docs/pages.ts";
import { forwards, mailboxNode } from "../docs/runs.ts";
import { certificate } from "../support/certificate.ts";
import { debianFolder, type Folder, startFreshDebian } from "./fresh-debian.ts";
import { fields, isCurrent, SERVER, startServer } from "./fresh-server.ts";
import { mailClient } from "./mail-client.ts";
import type { Login } from "./mailbox.ts";
import { DEPLOY } from "./shipped.ts";

const CHECKOUT = join(DEPLOY, "..");
/** The nodes' names in the pages and in the files of deploy/. */
export const NODE = "mail.example.nl";
export const MX = "mx2.example.nl";

export const atServer = command(mailboxNode.atServer);
export const toJoin = command(mailboxNode.toJoin);
const setUp = command(mailboxNode.setUp);
export const rewriteSenders = command(forwards.rewriteSenders);
/** All that these pages install. The sweeps share one folder of each release. */
const packages = [...`${toJoin}${setUp}${rewriteSenders}`.matchAll(/^apt-get install (.*)$/gm)].flatMap(
  ([, names = ""]) => names.split(" "),
);

/** Adapts a script to Debian 13: a comment in it names the file to use instead. */
const forDebian13 = (script: string) =>
  script.replaceAll(/ (\S+)( \S+ *# Debian 13: (\S+))/g, (_, _file, rest, other) => ` ${other}${rest}`);

/** Returns a release's folder, and says why if there is none. */
export async function releaseFolder(suite: string): Promise<Folder> {
  const folder = await debianFolder(suite, packages);
  if (!folder.available) process.stderr.write(folder.message);
  return folder;
}

export const releases = [
  { name: "Debian 12", suite: "bookworm", node: "v18", commands: setUp },
  { name: "Debian 13", suite: "trixie", node: "v20", commands: forDebian13(setUp) },
];

export type Server = Awaited<ReturnType<typeof startServer>>;

/** Starts a server with a domain, and a fresh Debian that has a name and a certificate. */
export async function newNode(base: string, name: string) {
  const ca = certificate(SERVER);
  const machine = await startFreshDebian(base, { NODE_EXTRA_CA_CERTS: "/etc/server-ca.pem" });
  onTestFinished(machine.stop);
  const server = await startServer(machine, ca);
  await server.sh("m25-mail call add-domain --domain example.nl");
  // The page asks for these two copies.
  await machine.copyIn(join(CHECKOUT, "dist/m25-mail-node.mjs"), "root/m25-mail-node.mjs");
  await machine.copyIn(DEPLOY, "root/deploy");
  await machine.copyIn(ca.cert, "etc/server-ca.pem");
  await machine.sh(`echo "127.0.0.1 ${SERVER} ${name}" >>/etc/hosts; mkdir /etc/ssl/m25-mail`);
  const { cert, key } = certificate(name);
  await machine.copyIn(cert, "etc/ssl/m25-mail/fullchain.pem");
  await machine.copyIn(key, "etc/ssl/m25-mail/privkey.pem");
  return { server, machine, cert };
}

/** Adds mailboxes, and their domains besides example.nl. */
export async function addUsers(server: Server, ...users: readonly Login[]): Promise<void> {
  const domains = new Set(users.map(({ address }) => address.replace(/.*@/, "")));
  domains.delete("example.nl");
  for (const domain of domains) await server.sh(`m25-mail call add-domain --domain ${domain}`);
  for (const { address, password } of users) {
    writeFileSync(join(server.folder, "password"), password);
    await server.sh(`m25-mail call add-user --email ${address} --password-file password`);
  }
}

/** Sets up a mailbox node for these users, and waits until it serves them. */
export async function newMailboxNode(
  base: string,
  release: (typeof releases)[number],
  users: readonly Login[],
) {
  const { server, machine, cert } = await newNode(base, NODE);
  await addUsers(server, ...users);
  const { sync_key: key } = fields(await server.sh(atServer));
  await machine.sh(`node --version | grep '^${release.node}'`);
  await machine.sh(toJoin, { input: `${key}\n` });
  await machine.sh(command(mailboxNode.dryRun));
  await machine.sh(release.commands, { folder: "/root/deploy" });
  await isCurrent(server);
  return { server, machine, cert, mail: mailClient(machine, NODE, cert) };
}
