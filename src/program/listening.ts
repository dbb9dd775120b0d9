import type { AddressInfo } from "node:net";
import { Networks } from "../mail/network.ts";

const loopback = new Networks(["127.0.0.0/8", "::1"]);

/** The addresses that a server listens on, as they are: 0.0.0.0 is every IPv4 address of the machine, not 127.0.0.1. */
export function listeningOn(addresses: readonly AddressInfo[], scheme: "http" | "https"): string {
  const urls = addresses.map(({ family, address, port }) =>
    family === "IPv6" ? `${scheme}://[${address}]:${port}` : `${scheme}://${address}:${port}`,
  );
  return urls.join(" and ");
}

/** True where other machines may reach one of them. */
export function isBeyondLoopback(addresses: readonly AddressInfo[]): boolean {
  return addresses.some(({ address }) => !loopback.has(address));
}
