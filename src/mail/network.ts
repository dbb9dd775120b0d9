import { BlockList, isIP, SocketAddress } from "node:net";
import { MailError } from "./error.ts";

/** This machine's own host names, as `URL.hostname` writes them. */
export const LOOPBACK_HOSTS: ReadonlySet<string> = new Set(["localhost", "127.0.0.1", "[::1]"]);

/**
 * Converts an IP address to its canonical form: lower case, the shortest IPv6, no zone. An IPv4-mapped IPv6 address
 * (RFC 4291 2.5.5.2), which a dual-stack socket reports, becomes IPv4. Returns undefined for anything else.
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
 * Converts an address or CIDR range to its stored form: without an IPv4-mapped prefix. A range is stored by its first
 * address.
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
  return prefix === undefined ? plain : `${firstOf(plain, Number(prefix))}/${prefix}`;
}

/** The first address of the range that contains this address (as plainAddress returns it) and has this prefix length. */
function firstOf(address: string, prefix: number): string {
  const isIPv4 = !address.includes(":");
  const bits = isIPv4 ? 8 : 16;
  const kept = (isIPv4 ? address.split(".").map(Number) : groupsOf(address)).map((part, index) => {
    const cleared = bits - Math.min(Math.max(prefix - index * bits, 0), bits);
    return (part >> cleared) << cleared;
  });
  return isIPv4 ? kept.join(".") : (plainAddress(kept.map((part) => part.toString(16)).join(":")) ?? "");
}

/** The name in DNS under which an address has its PTR record. */
export function reverseName(address: string): string {
  if (!address.includes(":")) return `${address.split(".").reverse().join(".")}.in-addr.arpa`;
  const digits = groupsOf(address).map((group) => group.toString(16).padStart(4, "0"));
  return `${[...digits.join("")].reverse().join(".")}.ip6.arpa`;
}

/** The range of one subscriber: an IPv4 address, or an IPv6 /64, whose addresses are all the subscriber's. */
export function subscriberOf(address: string): string {
  return address.includes(":") ? prefixOf(address, 4) : address;
}

/** The range of one site: an IPv4 address, or an IPv6 /48, which has 65,536 networks of /64 (RFC 6177). */
export function siteOf(address: string): string {
  return address.includes(":") ? prefixOf(address, 3) : address;
}

/** @param count number of 16-bit groups to keep */
function prefixOf(address: string, count: number): string {
  const kept = groupsOf(address).slice(0, count);
  return `${kept.map((group) => group.toString(16)).join(":")}::/${count * 16}`;
}

/** The eight 16-bit groups of an IPv6 address. The last two may be written as an IPv4 address. */
function groupsOf(address: string): number[] {
  const [left = [], right] = address.split("::").map((half) =>
    half
      .split(":")
      .filter((group) => group !== "")
      .flatMap(numbersOf),
  );
  return right === undefined
    ? left
    : [...left, ...Array<number>(8 - left.length - right.length).fill(0), ...right];
}

function numbersOf(group: string): number[] {
  if (!group.includes(".")) return [Number.parseInt(group, 16)];
  const [a = 0, b = 0, c = 0, d = 0] = group.split(".").map(Number);
  return [(a << 8) | b, (c << 8) | d];
}

/** A set of addresses and ranges, each as parseNetwork returns it. */
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

  /** @param address as plainAddress returns it; no network contains anything else */
  has(address: string): boolean {
    const family = isIP(address);
    return family !== 0 && this.#list.check(address, family === 6 ? "ipv6" : "ipv4");
  }
}
