import fc from "fast-check";
import { expect, test } from "vitest";
import { isStoredAddress, parseAddress } from "../../src/mail/address.ts";
import { attempt, refusalOf } from "../support/refusal.ts";

test.each([
  ["jan@example.nl", "jan@example.nl"],
  ["Jan.Jansen@EXAMPLE.nl", "jan.jansen@example.nl"],
  ["_x-y_9@example.nl", "_x-y_9@example.nl"],
  ["0@example.nl", "0@example.nl"],
  ["jan@bücher.example", "jan@xn--bcher-kva.example"],
])("the address %s is stored as %s", (typed, stored) => {
  expect(parseAddress(typed).email).toBe(stored);
});

test("an address splits into its local part and its domain", () => {
  expect(parseAddress("Jan@Bücher.example")).toEqual({
    email: "jan@xn--bcher-kva.example",
    localPart: "jan",
    domain: "xn--bcher-kva.example",
  });
});

test.each([
  ["no @", "jan.example.nl"],
  ["nothing before the @", "@example.nl"],
  ["nothing after the @", "jan@"],
  ["two @", "jan@piet@example.nl"],
  ["a quoted local part", '"jan"@example.nl'],
  ["a name around it", "Jan <jan@example.nl>"],
  ["a plus", "jan+shop@example.nl"],
  ["a leading dot", ".jan@example.nl"],
  ["a trailing dot", "jan.@example.nl"],
  ["a doubled dot", "jan..jansen@example.nl"],
  ["a leading hyphen, which a program would take for a flag", "-jan@example.nl"],
  ["a Kelvin sign, which lower-cases to k", "\u212Aees@example.nl"],
  ["an umlaut before the @", "jürgen@example.nl"],
  ["65 characters before the @", `${"a".repeat(65)}@example.nl`],
  ["a line feed at the end", "jan@example.nl\n"],
  ["a line feed in the middle", "jan\n@example.nl"],
  ["a NUL", "jan\0@example.nl"],
  ["a space before it", " jan@example.nl"],
  ["an invalid domain", "jan@localhost"],
  ["an IP address", "jan@[192.0.2.1]"],
  ...[...":/\\#%{}+'\"*!,;&|`$~^=?<>()[]\t"].map((character) => [
    `the character ${JSON.stringify(character)}, which means something to a mail server`,
    `ja${character}n@example.nl`,
  ]),
])("an address with %s is refused with a reason and a hint", (_what, typed) => {
  const { code, message, hint } = refusalOf(() => parseAddress(typed ?? ""));
  expect(code).toBe("invalid_input");
  expect(message).not.toBe("");
  expect(hint.join("")).not.toBe("");
  expect(message).not.toContain(typed);
});

test("an address has at most 254 characters", () => {
  const domain = `${"a".repeat(63)}.${"b".repeat(63)}.${"c".repeat(58)}.nl`;
  expect(parseAddress(`${"j".repeat(64)}@${domain}`).email).toHaveLength(254);
  const longer = domain.replace(".nl", ".nld");
  expect(refusalOf(() => parseAddress(`${"j".repeat(64)}@${longer}`)).message).toContain("254");
});

const part = fc.oneof(
  fc.string({ unit: "binary", maxLength: 20 }),
  fc.stringMatching(/^[A-Za-z0-9._-]{1,20}$/),
);
const anything = fc.oneof(
  fc.string({ unit: "binary" }),
  fc.tuple(part, part).map(([local, domain]) => `${local}@${domain}`),
  fc.tuple(part, fc.stringMatching(/^[A-Za-z0-9-]{1,9}$/)).map(([local, label]) => `${local}@${label}.nl`),
);

test("any text is either refused or has one stored form, which nodes accept and which stores as itself", () => {
  let accepted = 0;
  fc.assert(
    fc.property(anything, (text) => {
      const address = attempt(() => parseAddress(text));
      if (address === undefined) return;
      accepted += 1;
      expect(isStoredAddress(address.email)).toBe(true);
      expect(parseAddress(address.email)).toEqual(address);
      expect(`${address.localPart}@${address.domain}`).toBe(address.email);
    }),
    { numRuns: 3000 },
  );
  expect(accepted).toBeGreaterThan(50); // else the property proves nothing
});

test("a node accepts an address only in its stored form", () => {
  for (const other of [
    "Jan@example.nl",
    "jan@Example.nl",
    "jan@bücher.example",
    "jan@example.nl\n",
    "a@b@c.nl",
  ]) {
    expect(isStoredAddress(other), other).toBe(false);
  }
});
