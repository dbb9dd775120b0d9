/** This checkout's server in the network of a fresh Debian, or on a fresh Debian of its own. */
import { mkdirSync, symlinkSync } from "node:fs";
import { join } from "node:path";
import { onTestFinished } from "vitest";
import { startM25mail } from "../support/program.ts";
import { temporaryFolder } from "../support/store.ts";
import { type Answer, type Folder, type FreshDebian, startFreshDebian } from "./fresh-debian.ts";
import { ADDRESS, connect, SERVER_ADDRESS, startAuthority, startDns } from "./fresh-network.ts";
import { mustRun, until } from "./processes.ts";
import { DEPLOY } from "./shipped.ts";

/** The server's name in the pages and in the files of deploy/. */
export const SERVER = "mail-admin.example.nl";

/** The packages of the folder in which a server is set up. */
export const SERVER_PACKAGES = ["ca-certificates", "caddy", "certbot", "curl", "iproute2", "nginx", "pebble"];

/** Puts this checkout, built, into /opt/m25-mail: the machine has no way to npm's registry. */
export async function copyCheckout(machine: FreshDebian): Promise<void> {
  await machine.copyIn(DEPLOY, "opt/m25-mail/deploy");
  for (const made of ["dist", "node_modules"])
    await machine.mount(join(DEPLOY, "..", made), `opt/m25-mail/${made}`);
}

export const serverSetup = "/opt/m25-mail/deploy/m25-mail setup";

/** All that setup asks behind Caddy. */
export const serverQuestions = {
  name: `[${SERVER}]: `,
  passwords: ["Password: ", "The same again: "],
  domain: "(empty: later): ",
} as const;

/** Starts a fresh Debian with the program, a name server that does not know it yet, and an authority. */
export async function newServerMachine(folder: Folder | undefined, address: string) {
  if (folder?.available !== true) throw new Error(folder?.message);
  const machine = await startFreshDebian(folder.path, { NODE_EXTRA_CA_CERTS: "/etc/authority.pem" });
  onTestFinished(machine.stop);
  const dns = await startDns(machine, address);
  onTestFinished(dns.stop);
  await copyCheckout(machine);
  const acme = `--acme-server ${await startAuthority(machine)}`;
  await machine.sh(`curl -sSf --retry 5 --retry-connrefused https://localhost:15000/roots/0 >/etc/authority.pem
    hostname ${SERVER}; echo '127.0.0.1 ${SERVER}' >>/etc/hosts
    systemctl stop nginx; systemctl start caddy`);
  return { machine, dns, acme };
}

/** Sets up a server with a first domain as README says, on a Debian that a node's machine reaches. */
export async function setUpServer(folder: Folder | undefined, node: FreshDebian, domain: string) {
  const { machine, dns, acme } = await newServerMachine(folder, SERVER_ADDRESS);
  await connect(node, machine, [ADDRESS, SERVER_ADDRESS]);
  const serve = (records: string) => dns.serve(`${SERVER}. A ${SERVER_ADDRESS}\n${records}`);
  await serve("");
  const answers: Answer[] = [
    [serverQuestions.name, "\r"],
    ...serverQuestions.passwords.map((question): Answer => [question, "a passphrase of the operator\r"]),
    [serverQuestions.domain, `${domain}\r`],
  ];
  const { code, said } = await machine.atTerminal(`${serverSetup} ${acme}`, answers);
  if (code !== 0) throw new Error(said);
  return {
    answers: answers.length,
    /** The certificate of the authority that signed the server's. */
    authority: await machine.sh("cat /etc/authority.pem"),
    serve,
    sh: (script: string, input = "") => machine.sh(`PATH=/opt/m25-mail/deploy:$PATH\n${script}`, { input }),
  };
}

export function isCurrent(server: { sh(script: string): Promise<string> }): Promise<void> {
  const isIt = async () =>
    (await server.sh("m25-mail call list-nodes --json")).includes('"status":"current"');
  // After a fault the node may ask again only a minute later.
  return until("the server shows the node as current", isIt, 300);
}

/** Starts this checkout's server in the machine's network by its public name. `sh` is a shell beside it. */
export async function startServer(
  machine: FreshDebian,
  { cert, key }: { cert: string; key: string },
  flags: readonly string[] = [],
) {
  const folder = temporaryFolder();
  mkdirSync(join(folder, "bin"));
  symlinkSync(join(DEPLOY, "m25-mail"), join(folder, "bin/m25-mail"));
  const [command, ...args] = [...machine.onNetwork, join(folder, "bin/m25-mail"), "serve"] as const;
  const address = ["--port", "443", "--public-url", `https://${SERVER}`];
  const database = join(folder, "m25-mail.db");
  const running = startM25mail(
    [...args, ...address, "--db", database, "--tls-cert", cert, "--tls-key", key, ...flags],
    { command: [command] },
  );
  await running.says(/serves https/);
  const environment = [
    `M25_MAIL_DB=${database}`,
    `M25_MAIL_PUBLIC_URL=https://${SERVER}`,
    `PATH=${join(folder, "bin")}:${process.env.PATH}`,
  ];
  return {
    folder,
    sh: (script: string) =>
      mustRun(...machine.onNetwork, "env", "-C", folder, ...environment, "sh", "-ec", script),
  };
}

/** Parses the output of `m25-mail call`, one field a line. */
export function fields(output: string): Record<string, string> {
  return Object.fromEntries(output.split("\n").map((line) => line.split(/: (.*)/)));
}
