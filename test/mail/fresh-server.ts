/** This checkout's server in the network of a fresh Debian. */
import { mkdirSync, symlinkSync } from "node:fs";
import { join } from "node:path";
import { startM25mail } from "../support/program.ts";
import { temporaryFolder } from "../support/store.ts";
import type { FreshDebian } from "./fresh-debian.ts";
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

export function isCurrent(server: { sh(script: string): Promise<string> }): Promise<void> {
  return until("the server shows the node as current", async () =>
    (await server.sh("m25-mail call list-nodes --json")).includes('"status":"current"'),
  );
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
