import { execFileSync } from "node:child_process";
import { existsSync } from "node:fs";
import { onTestFinished } from "vitest";

const ip = (...args: string[]): string => execFileSync("ip", args, { encoding: "utf8", stdio: "pipe" });

/** A network of a test's own, in a namespace. This machine reaches it from `near`, which nothing else uses. */
export function testNetwork(near: string, ...addresses: readonly string[]) {
  removeLeftNetworks();
  const name = `m25n-${process.pid}`;
  ip("netns", "add", name);
  onTestFinished(() => void ip("netns", "delete", name));
  ip("link", "add", name, "type", "veth", "peer", "name", "far", "netns", name);
  ip("address", "add", `${near}/24`, "dev", name);
  ip("link", "set", name, "up");
  for (const address of addresses) ip("-n", name, "address", "add", `${address}/24`, "dev", "far");
  for (const device of ["lo", "far"]) ip("-n", name, "link", "set", device, "up");
  return {
    name,
    /** Neither side hears of it. */
    cut: () => void ip("-n", name, "link", "set", "far", "down"),
    mend: () => void ip("-n", name, "link", "set", "far", "up"),
  };
}

/** A run that was killed leaves its namespace, and with it the addresses. */
function removeLeftNetworks(): void {
  for (const [name, pid] of ip("netns", "list").matchAll(/^m25n-(\d+)/gm))
    if (!existsSync(`/proc/${pid}`)) ip("netns", "delete", name);
}
