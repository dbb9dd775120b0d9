import { BlockList, isIP, SocketAddress } from "node:net";
import { MailError } from "./error.ts";

/**
 * An IP address in its one written form: lower case, the shortest IPv6, without a zone, and IPv4 for what a dual-stack
 * socket calls an IPv4-mapped IPv6 address (RFC 4291 2.5.5.2). Undefined for anything else.
 */
export function plainAddress(text: string): string | undefined {
  const family = isIP(text);
  if (family === 0) return undefined;
  if (family === 4) return text;
  const { address } = new SocketAddress({ address: text.replace(/%.*$/s, ""), family: "ipv6" });
  const mapped = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/.exec(address);
  return mapped?.[1] ?? address;
}

/**
 * The stored form of an address or CIDR range, as given but without an IPv4-mapped prefix.
 *
 * @throws MailError invalid_input
 */
export function parseNetwork(text: string): string {
  const [address = "", prefix, ...rest] = text.split("/");
  const plain = plainAddress(address);
  const longest = plain?.includes(":") ? 128 : 32;
  const valid =
    plain !== undefined &&
    !address.includes("%") &&
    rest.length === 0 &&
    (prefix === undefined ||
      (/^(0|[1-9]\d{0,2})$/.test(prefix) && Number(prefix) <= longest && isIP(plain) === isIP(address)));
  if (!valid) {
    throw new MailError(
      "invalid_input",
      "This is not an IP address or a CIDR range.",
      "Give an address such as 192.0.2.7 or 2001:db8::7, or a range such as 192.0.2.0/24.",
    );
  }
  return prefix === undefined ? plain : `${plain}/${prefix}`;
}

/** What one subscriber has of the internet: an IPv4 address, or an IPv6 /64, all of whose addresses are his to use. */
export function subscriberOf(address: string): string {
  return address.includes(":") ? prefixOf(address, 4) : address;
}

/** What one site may have of it: an IPv4 address, or an IPv6 /48, which is 65,536 of those (RFC 6177). */
export function siteOf(address: string): string {
  return address.includes(":") ? prefixOf(address, 3) : address;
}

/** @param count how many groups of 16 bits are kept */
function prefixOf(address: string, count: number): string {
  const [left = "", right] = address.split("::");
  const groups = left.split(":").filter((group) => group !== "");
  const after = right?.split(":").filter((group) => group !== "").length ?? 0;
  if (right !== undefined) groups.push(...Array<string>(8 - groups.length - after).fill("0"));
  groups.push(...(right?.split(":") ?? []));
  return `${groups.slice(0, count).join(":")}::/${count * 16}`;
}

/** Some addresses and ranges, as parseNetwork returns them. */
export class Networks {
  readonly #list = new BlockList();

  constructor(networks: readonly string[]) {
    for (const network of networks) {
      const [base = "", prefix] = network.split("/");
      const family = isIP(base) === 6 ? "ipv6" : "ipv4";
      if (prefix === undefined) this.#list.addAddress(base, family);
      else this.#list.addSubnet(base, Number(prefix), family);
    }
  }

  /** @param address as plainAddress returns it; anything that is no address is in no network */
  has(address: string): boolean {
    const family = isIP(address);
    return family !== 0 && this.#list.check(address, family === 6 ? "ipv6" : "ipv4");
  }
}
