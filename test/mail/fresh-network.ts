/** The network beyond a fresh Debian: a name server, and an authority for certificates. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { certificate } from "../support/certificate.ts";
import { NSD, writeConfiguration } from "../support/name-server.ts";
import { temporaryFolder } from "../support/store.ts";
import type { FreshDebian } from "./fresh-debian.ts";
import { mustRun, until } from "./processes.ts";

export const NAME_SERVER = "127.0.0.53";
/** From a range for documentation: nobody's, and to the machine as public as any. */
export const ADDRESS = "192.0.2.25";
const ACME = "https://localhost:14000/dir";
/** Where `update-ca-certificates`, which takes seconds, would add a certificate to those that a machine trusts. */
export const TRUSTED = "/etc/ssl/certs/ca-certificates.crt";

/** A second machine's. */
export const SERVER_ADDRESS = "192.0.2.24";

/** Gives the machine an address, and a name server of its own. */
export async function startDns(machine: FreshDebian, address = ADDRESS) {
  const [program, ...enter] = machine.onNetwork;
  await mustRun(program, ...enter, "ip", "address", "replace", address, "dev", "lo");
  const folder = temporaryFolder();
  const configuration = await writeConfiguration(folder, NAME_SERVER, {
    zones: 'zone:\n  name: "."\n  zonefile: root.zone\n',
  });
  let stop = async () => {};
  /** Serves these records only, as a zone file has them. */
  async function serve(records: string): Promise<void> {
    await stop();
    const soa = "@ 5 IN SOA ns.invalid. root.invalid. 1 3600 600 86400 5\nready.invalid. A 127.0.0.1\n";
    writeFileSync(join(folder, "root.zone"), `$ORIGIN .\n$TTL 5\n${soa}${records}\n`);
    const child = spawn(program, [...enter, NSD, "-d", "-c", configuration], { stdio: "ignore" });
    stop = async () => {
      if (child.exitCode !== null) return;
      child.kill();
      await once(child, "exit");
    };
    await machine.sh(`echo nameserver ${NAME_SERVER} >/etc/resolv.conf`);
    await until("the name server answers", () =>
      machine.sh("getent hosts ready.invalid || true").then((found) => found !== ""),
    );
  }
  await serve("");
  return { serve, stop: () => stop() };
}

/** Connects two machines, each of which has its address already. */
export async function connect(one: FreshDebian, other: FreshDebian, addresses: readonly [string, string]) {
  const [, , pid] = other.onNetwork;
  const link = "ip link add beside type veth peer name beside netns";
  await mustRun(...one.onNetwork, "sh", "-ec", `${link} "$1"`, "sh", String(pid));
  for (const [machine, reached] of [
    [one, addresses[1]],
    [other, addresses[0]],
  ] as const)
    await mustRun(
      ...machine.onNetwork,
      "sh",
      "-ec",
      'ip link set beside up; ip route add "$1" dev beside',
      "sh",
      reached,
    );
}

/** Starts Debian's pebble, which asks the machine's name server. @returns its address */
export async function startAuthority(machine: FreshDebian): Promise<string> {
  const { cert, key } = certificate();
  await machine.copyIn(cert, "usr/local/share/ca-certificates/pebble.crt");
  await machine.copyIn(key, "etc/pebble.pem");
  const settings = {
    listenAddress: "127.0.0.1:14000",
    managementListenAddress: "127.0.0.1:15000",
    certificate: "/usr/local/share/ca-certificates/pebble.crt",
    privateKey: "/etc/pebble.pem",
    httpPort: 80,
    tlsPort: 443,
  };
  const variables = "--setenv=PEBBLE_VA_NOSLEEP=1 --setenv=PEBBLE_WFE_NONCEREJECT=0";
  await machine.sh(
    `cat /usr/local/share/ca-certificates/pebble.crt >>${TRUSTED}; cat >/etc/pebble.json
      systemd-run --unit=pebble ${variables} pebble -config /etc/pebble.json -dnsserver ${NAME_SERVER}:53`,
    { input: JSON.stringify({ pebble: settings }) },
  );
  return ACME;
}
