import { createHash } from "node:crypto";
import fc from "fast-check";
import { expect, test } from "vitest";
import { StateDigest } from "../../src/sync/digest.ts";
import { canonicalLine, type MailRecord } from "../../src/sync/records.ts";
import { mailRecord } from "../support/records.ts";

const EMPTY = "0".repeat(64);
const records = fc.array(mailRecord, { maxLength: 20 });

function digestOf(some: readonly MailRecord[]): StateDigest {
  const digest = new StateDigest();
  for (const record of some) digest.add(record);
  return digest;
}

test("the digest of no records is zero, and that of one record is its SHA-256", () => {
  expect(new StateDigest().toString()).toBe(EMPTY);
  const hash = createHash("sha256").update('{"domain":"example.nl"}').digest("hex");
  expect(digestOf([{ domain: "example.nl" }]).toString()).toBe(hash);
});

test("the digest is the sum of the records' hashes modulo 2^256", () => {
  fc.assert(
    fc.property(records, (some) => {
      const sum = some.reduce(
        (total, record) =>
          total + BigInt(`0x${createHash("sha256").update(canonicalLine(record)).digest("hex")}`),
        0n,
      );
      expect(BigInt(`0x${digestOf(some)}`)).toBe(sum % 2n ** 256n);
    }),
  );
});

test("the order of the records does not matter", () => {
  const shuffled = records.chain((some) =>
    fc.tuple(fc.constant(some), fc.shuffledSubarray(some, { minLength: some.length })),
  );
  fc.assert(
    fc.property(shuffled, ([some, others]) => {
      expect(`${digestOf(others)}`).toBe(`${digestOf(some)}`);
    }),
  );
});

test("removing a record undoes adding it", () => {
  fc.assert(
    fc.property(records, mailRecord, (some, record) => {
      expect(`${digestOf(some).add(record).remove(record)}`).toBe(`${digestOf(some)}`);
      expect(`${digestOf(some).remove(record).add(record)}`).toBe(`${digestOf(some)}`);
    }),
  );
});

test("the digests of parts add up to the digest of the whole", () => {
  fc.assert(
    fc.property(records, records, (some, others) => {
      const whole = digestOf([...some, ...others]);
      expect(`${digestOf(some).addDigest(digestOf(others))}`).toBe(`${whole}`);
    }),
  );
});

test("a digest is parsed back from its text", () => {
  fc.assert(
    fc.property(records, (some) => {
      expect(`${StateDigest.fromHex(`${digestOf(some)}`)}`).toBe(`${digestOf(some)}`);
    }),
  );
  for (const bad of ["", "0", `${EMPTY}0`, EMPTY.replace("0", "g"), "A".repeat(64)]) {
    expect(() => StateDigest.fromHex(bad)).toThrow(RangeError);
  }
});

test("a change of any field of a record changes the digest", () => {
  const one = { user: "jan@example.nl", password: "x", quota_mb: 1, mailbox: "m" };
  const others = [
    { ...one, user: "piet@example.nl" },
    { ...one, password: "y" },
    { ...one, quota_mb: 2 },
    { ...one, mailbox: "n" },
  ];
  expect(new Set([one, ...others].map((record) => `${digestOf([record])}`)).size).toBe(5);
});
