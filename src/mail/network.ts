import { BlockList, isIP } from "node:net";
import { MailError } from "./error.ts";

/** An IPv4-mapped IPv6 address (RFC 4291 2.5.5.2) is what a dual-stack socket calls an IPv4 peer. */
function unmapped(address: string): string {
  const mapped = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i.exec(address);
  return mapped?.[1] ?? address;
}

/**
 * The stored form of an address or CIDR range, as given but without an IPv4-mapped prefix.
 *
 * @throws MailError invalid_input
 */
export function parseNetwork(text: string): string {
  const [address = "", prefix, ...rest] = text.split("/");
  const plain = unmapped(address);
  const family = isIP(plain);
  const longest = family === 6 ? 128 : 32;
  const valid =
    family !== 0 &&
    !plain.includes("%") &&
    rest.length === 0 &&
    (prefix === undefined ||
      (/^(0|[1-9]\d{0,2})$/.test(prefix) && Number(prefix) <= longest && plain === address));
  if (!valid) {
    throw new MailError(
      "invalid_input",
      "This is not an IP address or a CIDR range.",
      "Give an address such as 192.0.2.7 or 2001:db8::7, or a range such as 192.0.2.0/24.",
    );
  }
  return prefix === undefined ? plain.toLowerCase() : `${plain.toLowerCase()}/${prefix}`;
}

/** True when `address`, as a socket gives it, lies in `network` (a stored form of parseNetwork). */
export function inNetwork(address: string, network: string): boolean {
  const [base = "", prefix] = network.split("/");
  const family = isIP(base) === 6 ? "ipv6" : "ipv4";
  const list = new BlockList();
  if (prefix === undefined) list.addAddress(base, family);
  else list.addSubnet(base, Number(prefix), family);
  const caller = unmapped(address.replace(/%.*$/, ""));
  return isIP(caller) !== 0 && list.check(caller, isIP(caller) === 6 ? "ipv6" : "ipv4");
}
