import type { AddressInfo } from "node:net";
import { Networks } from "../mail/network.ts";

const loopback = new Networks(["127.0.0.0/8", "::1"]);

/** The URLs of the listening addresses, unchanged: 0.0.0.0 means all IPv4 addresses of the machine, not 127.0.0.1. */
export function listenUrls(addresses: readonly AddressInfo[], scheme: "http" | "https"): string {
  const urls = addresses.map(({ family, address, port }) =>
    family === "IPv6" ? `${scheme}://[${address}]:${port}` : `${scheme}://${address}:${port}`,
  );
  return urls.join(" and ");
}

/** True if other machines may reach one of the addresses. */
export function isBeyondLoopback(addresses: readonly AddressInfo[]): boolean {
  return addresses.some(({ address }) => !loopback.has(address));
}
