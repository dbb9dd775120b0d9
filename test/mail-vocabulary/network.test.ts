import fc from "fast-check";
import { expect, test } from "vitest";
import { Networks, parseNetwork, plainAddress, subscriberOf } from "../../src/mail/network.ts";
import { attempt, refusalOf } from "../support/refusal.ts";

test.each([
  ["192.0.2.7", "192.0.2.7"],
  ["192.0.2.0/24", "192.0.2.0/24"],
  ["0.0.0.0/0", "0.0.0.0/0"],
  ["2001:DB8::7", "2001:db8::7"],
  ["192.0.2.7/24", "192.0.2.0/24"],
  ["192.0.2.200/25", "192.0.2.128/25"],
  ["192.0.2.7/32", "192.0.2.7/32"],
  ["192.0.2.7/0", "0.0.0.0/0"],
  ["2001:db8::/32", "2001:db8::/32"],
  ["2001:DB8:ffff::7/33", "2001:db8:8000::/33"],
  ["2001:db8::7/64", "2001:db8::/64"],
  ["2001:db8::7/128", "2001:db8::7/128"],
  ["::192.0.2.7/112", "::192.0.0.0/112"],
  ["2001:db8::7/0", "::/0"],
  ["::FFFF:192.0.2.7", "192.0.2.7"],
  ["::ffff:c000:207", "192.0.2.7"],
  ["2001:0db8:0:0:0::7", "2001:db8::7"],
])("the network %s is stored as %s", (typed, stored) => {
  expect(parseNetwork(typed)).toBe(stored);
});

test.each([
  "",
  "example.nl",
  "192.0.2",
  "192.0.2.256",
  "010.0.0.1",
  "0x7f.0.0.1",
  "192.0.2.7/",
  "192.0.2.7/33",
  "192.0.2.7/08",
  "192.0.2.7/-1",
  "192.0.2.7/2.5",
  "192.0.2.7/24/24",
  "192.0.2.7, 192.0.2.8",
  " 192.0.2.7",
  "192.0.2.7\n",
  "2001:db8::/129",
  "fe80::1%eth0",
  "[2001:db8::7]",
  "::ffff:192.0.2.0/120",
])("%j is not a network", (typed) => {
  expect(refusalOf(() => parseNetwork(typed))).toMatchObject({ code: "invalid_input" });
});

/** Returns whether a caller with this address, as a socket reports it, is inside `network`. */
function inNetwork(caller: string, network: string): boolean {
  return new Networks([network]).has(plainAddress(caller) ?? "");
}

test.each([
  ["192.0.2.7", "192.0.2.7", true],
  ["192.0.2.8", "192.0.2.7", false],
  ["192.0.2.255", "192.0.2.0/24", true],
  ["192.0.3.0", "192.0.2.0/24", false],
  ["192.0.2.200", "192.0.2.7/24", true],
  ["::ffff:192.0.2.7", "192.0.2.7", true],
  ["::ffff:192.0.2.7", "192.0.2.0/24", true],
  ["::ffff:192.0.3.7", "192.0.2.0/24", false],
  ["::ffff:c000:207", "192.0.2.0/24", true],
  ["192.0.2.7", "::ffff:192.0.2.7", true],
  ["::FFFF:192.0.2.7", "::ffff:192.0.2.7", true],
  ["2001:db8::7", "2001:DB8:0:0::7", true],
  ["2001:db8:1::7", "2001:db8::/32", true],
  ["2001:db9::7", "2001:db8::/32", false],
  ["fe80::1%eth0", "fe80::1", true],
  ["2001:db8::7", "0.0.0.0/0", false],
  ["::1", "127.0.0.1", false],
  ["", "0.0.0.0/0", false],
  ["nonsense", "::/0", false],
])("a caller from %s, where %s is registered: %s", (caller, network, allowed) => {
  expect(inNetwork(caller, parseNetwork(network))).toBe(allowed);
});

test("every address is in its own network, and all addresses of a network give it one written form", () => {
  const address = fc.oneof(fc.ipV4(), fc.ipV6());
  const pair = fc.oneof(fc.tuple(fc.ipV4(), fc.ipV4()), fc.tuple(fc.ipV6(), fc.ipV6()));
  fc.assert(
    fc.property(address, fc.option(fc.integer({ min: 0, max: 128 })), (ip, prefix) => {
      const stored = attempt(() => parseNetwork(prefix === null ? ip : `${ip}/${prefix}`));
      if (stored === undefined) return;
      expect(parseNetwork(stored)).toBe(stored);
      expect(inNetwork(ip, stored)).toBe(true);
    }),
  );
  fc.assert(
    fc.property(pair, fc.integer({ min: 0, max: 128 }), ([one, other], prefix) => {
      const [first, second] = [one, other].map((ip) => attempt(() => parseNetwork(`${ip}/${prefix}`)));
      fc.pre(first !== undefined && second !== undefined);
      expect(inNetwork(other, first ?? "")).toBe(first === second);
    }),
  );
});

test("an address has one written form, however it was typed", () => {
  fc.assert(
    fc.property(fc.ipV4(), fc.ipV6(), fc.string(), (four, six, other) => {
      expect(plainAddress(four)).toBe(four);
      expect(plainAddress(`::ffff:${four}`)).toBe(four);
      const plain = plainAddress(six) ?? "";
      expect(plainAddress(plain)).toBe(plain);
      expect(plainAddress(six.toUpperCase())).toBe(plain);
      if (plain.includes(":")) expect(plainAddress(`${plain}%eth0`)).toBe(plain);
      expect(plainAddress(`${other}z`)).toBeUndefined();
    }),
  );
});

test("all addresses of an IPv6 /64 count as one subscriber, and no others do", () => {
  expect(subscriberOf("192.0.2.7")).toBe("192.0.2.7");
  expect(subscriberOf("2001:db8::7")).toBe("2001:db8:0:0::/64");
  expect(subscriberOf("::1")).toBe("0:0:0:0::/64");
  expect(subscriberOf("::")).toBe("0:0:0:0::/64");
  expect(subscriberOf("2001:db8:1:2:3::")).toBe("2001:db8:1:2::/64");
  const group = fc.nat(0xffff).map((n) => n.toString(16));
  const half = fc.array(fc.oneof(group, fc.constant("0")), { minLength: 4, maxLength: 4 });
  fc.assert(
    fc.property(half, half, half, (network, host, other) => {
      fc.pre(network.join() !== "0,0,0,0"); // ::ffff:192.0.2.7 is IPv4
      const of = (...groups: string[][]) => subscriberOf(plainAddress(groups.flat().join(":")) ?? "");
      expect(of(network, host)).toBe(`${network.join(":")}::/64`);
      expect(of(network, other)).toBe(of(network, host));
    }),
  );
});
