import { domainToUnicode } from "node:url";
import fc from "fast-check";
import { expect, test } from "vitest";
import { domainProblem, parseDomain } from "../../src/mail/address.ts";
import { attempt, refusalOf } from "../support/refusal.ts";

test.each([
  ["example.nl", "example.nl"],
  ["EXAMPLE.Nl", "example.nl"],
  ["mail.sub-domain.example.nl", "mail.sub-domain.example.nl"],
  ["bücher.example", "xn--bcher-kva.example"],
  ["Bu\u0308cher.example", "xn--bcher-kva.example"],
  ["straße.de", "xn--strae-oqa.de"],
  ["ΕΛΛΑΣ.gr", "xn--mxahsa5b.gr"],
  ["пример.рф", "xn--e1afmkfd.xn--p1ai"],
  ["日本語.jp", "xn--wgv71a119e.jp"],
  ["ไทย.com", "xn--o3cw4h.com"],
  ["XN--BCHER-KVA.example", "xn--bcher-kva.example"],
  ["ab--cd.nl", "ab--cd.nl"],
  ["3.14.example", "3.14.example"],
  ["paral·lel.cat", "xn--parallel-koa.cat"],
  ["PARAL·LEL.cat", "xn--parallel-koa.cat"],
  ["日・本.jp", "xn--vek160nc2a.jp"],
  ["ל׳.example", "xn--heb0c.example"],
  ["͵α.gr", "xn--wva4j.gr"],
  ["क्\u200Dष.example", "xn--11b2ezcw70k.example"],
])("the domain %s is stored as %s", (typed, stored) => {
  expect(parseDomain(typed)).toBe(stored);
});

test.each([
  ["nothing", ""],
  ["one label", "localhost"],
  ["two trailing dots", "example.nl.."],
  ["a middle dot between other letters than l", "a·b.example"],
  ["the A-label of one", "xn--ab-0ea.example"],
  ["a middle dot at an edge", "l·.example"],
  ["a katakana middle dot between Latin letters", "a・b.jp"],
  ["the A-label of one", "xn--ab-3n4a.jp"],
  ["a geresh after a Latin letter", "a׳.example"],
  ["a keraia before a Latin letter", "͵a.gr"],
  ["Arabic-Indic digits of both kinds", "ا٠۰.example"],
  ["a zero-width joiner after a Latin letter", "a\u200Db.example"],
  ["a zero-width non-joiner after a Latin letter", "a\u200Cb.example"],
  ["a leading dot", ".example.nl"],
  ["an empty label", "example..nl"],
  ["a hyphen at an edge", "-example.nl"],
  ["a hyphen at the other edge", "example-.nl"],
  ["an underscore", "ex_ample.nl"],
  ["a space", "example .nl"],
  ["a line feed at the end", "example.nl\n"],
  ["a NUL", "example\0.nl"],
  ["a slash", "example.nl/x"],
  ["a percent escape", "ex%61mple.nl"],
  ["a colon", "example.nl:25"],
  ["an address in brackets", "[192.0.2.1]"],
  ["an IPv4 address", "192.0.2.1"],
  ["a last label of digits", "example.123"],
  ["a last label of hexadecimal digits, which some programs read as IPv4", "1.0x7f"],
  ["a label of 64 letters", `${"a".repeat(64)}.nl`],
  ["254 characters", `${"a.".repeat(126)}nl`],
  ["an A-label of nothing", "xn--.nl"],
  ["an A-label that cannot be decoded", "xn--a.nl"],
  ["another that cannot be decoded", "xn--zzzzzzz9999.nl"],
  ["an A-label of an emoji", "xn--ls8h.nl"],
  ["an A-label with letters that are not ASCII", "xn--bcher-kvaü.nl"],
  ["a Kelvin sign, which lower-cases to k", "\u212Aelvin.nl"],
  ["a long s", "\u017Fale.nl"],
  ["full-width letters", "ｅxample.nl"],
  ["full-width digits", "１２.nl"],
  ["a ligature", "ﬁ.nl"],
  ["a soft hyphen", "exam\u00ADple.nl"],
  ["a full-width dot", "example．nl"],
  ["an ideographic full stop", "example。nl"],
  ["a zero-width space", "exam\u200Bple.nl"],
  ["a zero-width joiner", "exam\u200Dple.nl"],
  ["a right-to-left override", "example\u202E.nl"],
  ["directions mixed in one label", "1א.com"],
  ["an emoji", "😀.nl"],
  ["a mark without a letter", "\u0301e.nl"],
  ["half a surrogate pair", "ex\uD800ample.nl"],
])("a domain with %s is refused, and the hint shows a valid one", (_what, typed) => {
  const refusal = refusalOf(() => parseDomain(typed));
  expect(refusal).toMatchObject({ code: "invalid_input" });
  expect(refusal.hint.join("")).toContain("example.nl");
});

test("the refusal of a trailing dot names the dot", () => {
  for (const typed of ["example.nl.", "bücher.example."]) {
    expect(refusalOf(() => parseDomain(typed)).message).toContain("dot at its end");
  }
});

test("the Unicode and the ASCII form of an accepted domain are one domain", () => {
  const letters = fc.constantFrom(..."al·Lאב׳״αβ͵日本・クक्षب٠۰\u200C\u200Düß-7");
  const typed = fc.string({ unit: letters, minLength: 1, maxLength: 6 }).map((text) => `${text}.example`);
  fc.assert(
    fc.property(typed, (text) => {
      const stored = attempt(() => parseDomain(text));
      if (stored === undefined) return;
      const shown = domainToUnicode(stored);
      expect(parseDomain(shown)).toBe(stored);
      expect(parseDomain(stored)).toBe(stored);
    }),
    { numRuns: 3000 },
  );
});

test("the longest domain and the longest label are accepted", () => {
  const longest = `${"a".repeat(63)}.${"b".repeat(63)}.${"c".repeat(63)}.${"d".repeat(61)}`;
  expect(longest).toHaveLength(253);
  expect(parseDomain(longest)).toBe(longest);
});

const label = fc.oneof(
  fc.string({ unit: "grapheme", minLength: 1, maxLength: 12 }),
  fc.stringMatching(/^[a-zA-Z0-9-]{1,12}$/),
);
const anything = fc.oneof(
  fc.string({ unit: "binary" }),
  fc.array(label, { minLength: 1, maxLength: 4 }).map((labels) => labels.join(".")),
  label.map((text) => `xn--${text}.nl`),
);

test("any text is either refused or has one stored form, which nodes accept and which stores as itself", () => {
  fc.assert(
    fc.property(anything, (text) => {
      const stored = attempt(() => parseDomain(text));
      if (stored === undefined) return;
      expect(domainProblem(stored)).toBeUndefined();
      expect(stored).toMatch(/^[a-z0-9.-]+$/);
      expect(parseDomain(stored)).toBe(stored);
      expect(parseDomain(stored.toUpperCase())).toBe(stored);
    }),
    { numRuns: 3000 },
  );
});
