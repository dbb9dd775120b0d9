/** What speaks TLS for the server, and the ports that it needs. */
import { mkdir, readlink, rm, symlink } from "node:fs/promises";
import { dirname } from "node:path";
import { ConfigurationError } from "../../machine/faults.ts";
import type { Host } from "../../machine/host.ts";
import { mustRun, runQuietly } from "../../machine/machine.ts";
import { NGINX_SITE, type ProxyName } from "./configurations.ts";

const ENABLED_SITE = "/etc/nginx/sites-enabled/m25-mail";

/** The server's name among programs: Node's own, and that of its thread. */
const OWN = ["node", "MainThread"];

/**
 * Refuses ports that other programs hold.
 *
 * @param port the server's own
 * @throws ConfigurationError
 */
export async function refuseTakenPorts(host: Host, proxy: ProxyName, port: number): Promise<void> {
  // Another server, as one that was started by hand, has the same name.
  const own = (await host.units.isActive("m25-mail")) ? OWN : [];
  const needs: Array<[port: number, allowed: readonly string[]]> = [[port, own]];
  if (proxy === "caddy" || proxy === "nginx") needs.push([80, [proxy]], [443, [proxy, ...own]]);
  for (const [number, allowed] of needs) {
    const holder = await holderOf(host, number);
    if (holder !== undefined && !allowed.includes(holder))
      throw new ConfigurationError(
        `${holder} holds port ${number} of this machine, which ${allowed === own ? "m25-mail" : proxy} needs: stop it, and run setup again`,
      );
  }
}

/** The program that listens on a port; undefined if none does, or ss is not installed. */
async function holderOf({ machine }: Host, port: number): Promise<string | undefined> {
  const { stdout } = await runQuietly(machine, ["ss", "-Hltnp", `sport = :${port}`]);
  return /users:\(\("([^"]+)"/.exec(stdout)?.[1];
}

/** Starts the proxy, or lets it read what has changed. @throws ConfigurationError */
export async function startProxy(host: Host, proxy: ProxyName, isChanged: boolean): Promise<void> {
  if (proxy !== "caddy" && proxy !== "nginx") return;
  const isNew = proxy === "nginx" && (await enableSite(host));
  const isActive = await host.units.isActive(proxy);
  await host.units.start(proxy, false);
  if (isActive && (isChanged || isNew)) await host.units.reload(proxy);
}

/** @returns true if nginx did not read the site before. @throws ConfigurationError if nginx refuses it: then it is not enabled */
async function enableSite(host: Host): Promise<boolean> {
  const link = host.at(ENABLED_SITE);
  const isNew = (await readlink(link).catch(() => undefined)) === undefined;
  if (isNew) {
    await mkdir(dirname(link), { recursive: true });
    await symlink(`../sites-available/${NGINX_SITE.split("/").at(-1)}`, link);
  }
  try {
    await mustRun(host.machine, ["nginx", "-t"]);
  } catch (error) {
    // Otherwise nginx would not start at the next boot.
    if (isNew) await rm(link);
    throw error;
  }
  return isNew;
}
