import { randomBytes } from "node:crypto";
import fc from "fast-check";
import { expect, test } from "vitest";
import { decodeCursor, encodeCursor } from "../../src/sync/cursor.ts";

const hex = (bytes: number) =>
  fc.uint8Array({ minLength: bytes, maxLength: bytes }).map((value) => Buffer.from(value).toString("hex"));
const position = fc.record({
  history: hex(16),
  revision: fc.nat({ max: 999_999_999_999_998 }),
  digest: hex(32),
  view: fc.stringMatching(/^[a-z0-9]{1,40}$/),
});

test("a cursor decodes to the position that it was made from, and each position has one cursor", () => {
  fc.assert(
    fc.property(position, hex(32), (given, key) => {
      const cursor = encodeCursor(given, key);
      expect(cursor).toMatch(/^[A-Za-z0-9._-]{1,500}$/);
      expect(decodeCursor(cursor, key)).toEqual(given);
      expect(encodeCursor(given, key)).toBe(cursor);
    }),
  );
});

test("a cursor reveals neither the digest nor that an earlier digest is back", () => {
  fc.assert(
    fc.property(position, hex(32), (given, key) => {
      const cursor = encodeCursor(given, key);
      const bytes = Buffer.from(cursor, "base64url");
      expect(cursor).not.toContain(given.digest);
      expect(bytes.includes(given.digest)).toBe(false);
      expect(bytes.includes(Buffer.from(given.digest, "hex"))).toBe(false);
      const later = Buffer.from(encodeCursor({ ...given, revision: given.revision + 1 }, key), "base64url");
      expect(later.subarray(-60, -20)).not.toEqual(bytes.subarray(-60, -20));
    }),
  );
});

test("a cursor that was altered anywhere, or that comes from another database, is rejected", () => {
  fc.assert(
    fc.property(
      position,
      hex(32),
      fc.nat(),
      fc.constantFrom(..."AZaz09-_."),
      (given, key, place, character) => {
        const cursor = encodeCursor(given, key);
        const at = place % cursor.length;
        const changed = `${cursor.slice(0, at)}${character}${cursor.slice(at + 1)}`;
        if (changed !== cursor) expect(decodeCursor(changed, key)).toBeUndefined();
        expect(decodeCursor(cursor.slice(0, at), key)).toBeUndefined();
        expect(decodeCursor(cursor, randomBytes(32).toString("hex"))).toBeUndefined();
      },
    ),
  );
});

test("any text may be passed as a cursor", () => {
  fc.assert(
    fc.property(fc.string(), hex(32), (text, key) => {
      expect(decodeCursor(text, key)).toBeUndefined();
    }),
  );
});
