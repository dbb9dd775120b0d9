import { spawn } from "node:child_process";
import { Resolver } from "node:dns/promises";
import { once } from "node:events";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Store } from "../../db/store.ts";
import { lookForKeys } from "../../tools/sets/dns/look-for-keys.ts";

export const NSD = "/usr/sbin/nsd";

/** A loopback address of the test's own, so that name servers can have port 53. */
export function ownAddress(): string {
  const part = () => 1 + Math.floor(Math.random() * 254);
  return `127.${part()}.${part()}.${part()}`;
}

/**
 * Writes the nsd.conf of a name server that keeps to this folder.
 *
 * @param address to listen on, as ADDRESS or ADDRESS@PORT
 * @param parts further lines of `server:`, and the `zone:` clauses
 * @returns its path
 */
export async function writeConfiguration(
  folder: string,
  address: string,
  { server = "", zones }: { server?: string; zones: string },
): Promise<string> {
  const path = join(folder, "nsd.conf");
  await writeFile(
    path,
    `server:
  ip-address: ${address}
  server-count: 1
  username: ""
  chroot: ""
  database: ""
  zonesdir: "${folder}"
  pidfile: "${folder}/nsd.pid"
  xfrdfile: "${folder}/xfrd.state"
  xfrdir: "${folder}"
  zonelistfile: "${folder}/zone.list"
${server}remote-control:
  control-enable: no
${zones}`,
  );
  return path;
}

/**
 * Debian's NSD on this address, port 53.
 *
 * @param zones their records, as zone files have them
 * @returns stops it
 */
export async function startNameServer(
  address: string,
  zones: Readonly<Record<string, string>>,
): Promise<() => Promise<void>> {
  const folder = await mkdtemp(join(tmpdir(), "m25-mail-nsd-"));
  const soa = "@ 5 IN SOA ns.invalid. root.invalid. 1 3600 600 86400 5\n";
  const names = Object.keys(zones);
  await Promise.all(
    names.map((name, index) =>
      writeFile(
        join(folder, `${index}.zone`),
        `$ORIGIN ${name === "." ? "" : name}.\n$TTL 5\n${soa}${zones[name]}\n`,
      ),
    ),
  );
  const zoneParts = names.map((name, index) => `zone:\n  name: "${name}"\n  zonefile: ${index}.zone\n`);
  const configuration = await writeConfiguration(folder, address, { zones: zoneParts.join("") });
  const child = spawn(NSD, ["-d", "-c", configuration], { stdio: ["ignore", "ignore", "pipe"] });
  let said = "";
  child.stderr.on("data", (piece) => {
    said += piece;
  });
  const stop = async () => {
    if (child.exitCode === null) {
      child.kill();
      await once(child, "exit");
    }
    await rm(folder, { recursive: true });
  };
  const resolver = new Resolver({ timeout: 500, tries: 1 });
  resolver.setServers([address]);
  for (let attempt = 0; attempt < 240 && child.exitCode === null; attempt += 1) {
    const answers = await Promise.all(names.map((name) => resolver.resolveSoa(name).catch(() => undefined)));
    if (!answers.includes(undefined)) return stop;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  await stop();
  throw new Error(`NSD does not answer for each zone: ${said}`);
}

/** Looks for the records of DKIM keys, as the running server does. */
export async function lookForDueKeys(store: Store, now: Date, nameServer: string | undefined): Promise<void> {
  const due = await store.read(({ dkimKeys }) => dkimKeys.unseen(now.toISOString(), 1000));
  await lookForKeys(store, due, now, { nameServer, stop: AbortSignal.timeout(60_000) });
}
