import bcrypt from "bcrypt";
import fc from "fast-check";
import { expect, test } from "vitest";
import { parsePassword } from "../../src/mail/password.ts";
import { attempt, refusalOf } from "../support/refusal.ts";
import { sourceFiles } from "../support/sources.ts";

test.each([
  ["8 letters", "abcdefgh"],
  ["72 letters", "a".repeat(72)],
  ["8 emoji, of 32 bytes", "😀".repeat(8)],
  ["18 emoji, of 72 bytes", "😀".repeat(18)],
  ["spaces at its edges", "  correct horse  "],
  ["characters that mean something to a shell or a mail server", "a:b{c}%d'\"\\$#e"],
])("a password of %s is accepted unchanged", (_what, password) => {
  expect(parsePassword(password)).toBe(password);
});

test.each([
  ["nothing", "", "shorter than 8"],
  ["7 letters", "abcdefg", "shorter than 8"],
  ["7 emoji, though they are 28 bytes", "😀".repeat(7), "shorter than 8"],
  ["8 letters that are 4 after composition", "e\u0301".repeat(4), "shorter than 8"],
  ["73 letters", "a".repeat(73), "longer than 72 bytes"],
  ["37 letters of two bytes", "ü".repeat(37), "longer than 72 bytes"],
  ["a megabyte", "a".repeat(1_000_000), "longer than 72 bytes"],
  ["a NUL, where bcrypt would stop reading", "correct\0horse", "control character"],
  ["a line feed", "correct horse\n", "control character"],
  ["a delete character", "correct\u007fhorse", "control character"],
  ["a C1 control character", "correct\u0085horse", "control character"],
  ["half a surrogate pair", "correct\uD800horse", "not valid Unicode"],
  ["the other half", "correct\uDC00horse", "not valid Unicode"],
])("a password of %s is refused, and the refusal repeats none of it", (_what, password, reason) => {
  const { code, message, hint } = refusalOf(() => parsePassword(password));
  expect(code).toBe("invalid_input");
  expect(message).toContain(reason);
  expect(hint.join("")).not.toBe("");
  if (password !== "") expect(`${message} ${hint.join("")}`).not.toContain(password);
});

test.each([
  ["a soft hyphen", "correct\u00ADhorse"],
  ["a zero-width space", "correct\u200Bhorse"],
  ["a joiner", "correct\u200Dhorse"],
  ["a byte order mark", "\uFEFFcorrect horse"],
  ["a variation selector", "heart \u2764\uFE0F heart"],
  ["a Hangul filler", "correct\u3164horse"],
  ["a line separator", "correct\u2028horse"],
  ["a character that Unicode has not assigned", "correct\u0378horse"],
  ["a character of private use", "correct\uE000horse"],
  ["an old Hangul letter", "correct\u1100horse"],
  ["a middle dot that is not between two l", "correct\u00B7horse"],
])("a password with %s is refused, because its owner could not see why it fails", (_what, password) => {
  const { message } = refusalOf(() => parsePassword(password));
  expect(message).toContain("is invisible");
});

test("a no-break, em or ideographic space counts as a plain space", () => {
  for (const space of ["\u00A0", "\u2003", "\u3000"])
    expect(parsePassword(`correct${space}horse`)).toBe("correct horse");
});

test.each([
  "{BLF-CRYPT}$2y$10$abcdefghijklmnopqrstuu",
  "{SHA512-CRYPT}$6$salt$hash",
  "{PLAIN}secret password",
  "$2y$10$abcdefghijklmnopqrstuuLq4sh6zEpvGXWhxWl9oGYzC1qUkpGzK",
  "$6$rounds=5000$salt$hashhashhash",
  "$1$salt$hash",
  "$y$j9T$salt$hash",
  "$argon2id$v=19$m=65536,t=3,p=1$c2FsdA$aGFzaA",
  `$6$salt$${"x".repeat(86)}`,
])("a stored hash %s is refused as a password", (hash) => {
  const { message, hint } = refusalOf(() => parsePassword(hash));
  expect(message).toContain("stored hash");
  expect(hint.join("")).toContain("the password itself");
});

test("text that only has the characters of a hash is accepted as a password", () => {
  for (const password of ["$ecret$ of mine", "{not a scheme} of mine", "a $6$ in the middle"])
    expect(parsePassword(password)).toBe(password);
});

test("composed and decomposed letters are the same password", () => {
  expect(parsePassword("Zoe\u0308 kookt vandaag")).toBe(parsePassword("Zo\u00eb kookt vandaag"));
});

test("bcrypt reads every byte of an accepted password, including the 72nd", async () => {
  const password = parsePassword(`${"ü".repeat(35)}ab`);
  expect(Buffer.byteLength(password)).toBe(72);
  const hash = await bcrypt.hash(password, 4);
  expect(await bcrypt.compare(password, hash)).toBe(true);
  expect(await bcrypt.compare(`${"ü".repeat(35)}ac`, hash)).toBe(false);
});

test("any text is either refused or normalised to a password that is accepted unchanged", () => {
  fc.assert(
    fc.property(fc.string({ unit: "binary", minLength: 4, maxLength: 40 }), (text) => {
      const password = attempt(() => parsePassword(text));
      if (password === undefined) return;
      expect(parsePassword(password)).toBe(password);
      expect(Buffer.byteLength(password)).toBeLessThanOrEqual(72);
    }),
    { numRuns: 2000 },
  );
});

test("the mail vocabulary loads no native code, because nodes use it too", () => {
  for (const { path, text } of sourceFiles("src/mail")) {
    for (const [, imported] of text.matchAll(/from "([^"]+)"/g)) {
      expect(imported, path).toMatch(/^(node:[a-z]+|zod|\.\/[a-z-]+\.ts)$/);
    }
  }
});
