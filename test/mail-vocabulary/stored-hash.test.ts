import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { isStoredHash, parseStored, weakScheme } from "../../src/mail/stored-hash.ts";

const BCRYPT = "$2y$10$8WdKywuRjQcwhdvMo1luG.W0lUJklXl87Rc8S7Bq0HlK3ZH.fr5Kq";
const SHA512 =
  "$6$4th6O3aGjWDfPNNt$nE7lj3zVM9dDBJIK3qOkfpbe02omAuTSCI.Kr0/OP7dDXKAyBd6O.Q9SPFUjJygw.aCtNyIRDSjOe.519xOdP1";
const SHA256 = "$5$XRUTtdLWeK5V2BhF$BsMilhRCx9i3/LowBa/MggmDdEdpxt9.WOCDlvnNLn9";
const ARGON2 =
  "$argon2id$v=19$m=65536,t=3,p=1$k/CVHr97YiI1Fj8/ZwxMIg$AiOks0GmZqntj6WLvHkpnlR90xu8lG9jOn9n0P6FSfk";
const PBKDF2 = "$1$b6u3rOd4aiiOpY/U$5000$04c5d2fb4f5c39251b279a8a8f3c73ddbbb92e0f";

describe("a hash that nodes can serve is kept as it is", () => {
  test.each([
    `{BLF-CRYPT}${BCRYPT}`,
    `{BLF-CRYPT}${BCRYPT.replace("$2y$10$", "$2a$04$")}`,
    `{BLF-CRYPT}${BCRYPT.replace("$2y$10$", "$2b$14$")}`,
    `{SHA512-CRYPT}${SHA512}`,
    `{SHA512-CRYPT}${SHA512.replace("$6$", "$6$rounds=70000$")}`,
    `{SHA256-CRYPT}${SHA256}`,
    `{CRYPT}${BCRYPT}`,
    `{CRYPT}${SHA512}`,
    `{ARGON2ID}${ARGON2}`,
    `{PBKDF2}${PBKDF2}`,
    "{SSHA}0OrrBxh/76qTJB96VyMi/vdqlRBBeh4E",
    "{SSHA256}vYBZQfCfYwcdAHL9p/cxoqhgqiNLfEL4F2G3yDQ6H5xNd/kJ",
  ])("%s", (hash) => {
    expect(parseStored(hash)).toEqual({ hash });
    expect(isStoredHash(hash)).toBe(true);
  });
});

test("a hash without Dovecot's scheme gets it, and a scheme is written in upper case", () => {
  expect(parseStored(BCRYPT)).toEqual({ hash: `{BLF-CRYPT}${BCRYPT}` });
  expect(parseStored(SHA512)).toEqual({ hash: `{SHA512-CRYPT}${SHA512}` });
  expect(parseStored(SHA256)).toEqual({ hash: `{SHA256-CRYPT}${SHA256}` });
  expect(parseStored(ARGON2)).toEqual({ hash: `{ARGON2ID}${ARGON2}` });
  expect(parseStored(`{sha512-crypt}${SHA512}`)).toEqual({ hash: `{SHA512-CRYPT}${SHA512}` });
});

describe("the owner needs a new password for", () => {
  test.each([
    ["an empty password", ""],
    ["a locked one", "!"],
    ["one that is hidden", "****"],
    ["MD5-CRYPT that is cut short", "$1$DCGN63z1$LhUzk7wgb4rTosHgFt/EC"],
    ["MD5 without salt in the place of MD5-CRYPT", "{MD5}f173f8c080dabf03ea53d7cb60336963"],
    ["DES without its scheme", "ReDwsPYvlvoww"],
    ["an MD5 hash of LDAP that is cut short", "{LDAP-MD5}+/HGse+zBGXz5OhkOVcb"],
    ["LANMAN, which neither Dovecot knows", "{LANMAN}f173f8c080dabf03ea53d7cb60336963"],
    ["SHA without salt", "{SHA}tsltX8MRRq5LtBdDx/DnybOspI4="],
    ["SHA in the place of a salted one", "{SSHA}tsltX8MRRq5LtBdDx/DnybOspI4="],
    ["a salted one without its padding", "{SSHA512}0l5j0w"],
    ["a challenge's hash", "{CRAM-MD5}949c9495ed4eddce233ad9ac0336f4c33bb04b87a87b0043947d0811e5bdc28c"],
    ["SCRAM", "{SCRAM-SHA-256}4096,fHsq,3EKE,HnHC"],
    ["passlib's own", "$bcrypt-sha256$v=2,t=2b,r=12$Y7NsouhRHL1Aqf9qnqoUx.$wJTRvCVciyU5Jak75rqzWzmD4Qgoexu"],
    ["a hash that is cut short", `{BLF-CRYPT}${BCRYPT.slice(0, -1)}`],
    ["a cost that stops everybody's logins", `{BLF-CRYPT}${BCRYPT.replace("$10$", "$31$")}`],
    ["as many rounds", `{SHA512-CRYPT}${SHA512.replace("$6$", "$6$rounds=999999999$")}`],
    ["as much memory", `{ARGON2ID}${ARGON2.replace("m=65536", "m=65537")}`],
    ["a digest in hexadecimal", "7c4a8d09ca3762af61e59520943dc26494f8941b"],
    ["a scheme that nobody has", "{SECRET}0OrrBxh/76qTJB96VyMi/vdqlRBBeh4E"],
    ["a hash with a colon, which ends a passwd-file's field", `{BLF-CRYPT}${BCRYPT}:x`],
    ["a hash with a line end", `{BLF-CRYPT}${BCRYPT}\n`],
  ])("%s", (_what, stored) => {
    expect(parseStored(stored)).toEqual({ problem: expect.any(String) });
    expect(isStoredHash(stored)).toBe(false);
  });
});

describe("a hash that Dovecot 2.3 alone accepts is kept, by the name of its scheme", () => {
  const MD5 = "$1$DCGN63z1$LhUzk7wgb4rTosHgFt/EC.";
  test.each([
    [`{MD5-CRYPT}${MD5}`, `{MD5-CRYPT}${MD5}`],
    [MD5, `{MD5-CRYPT}${MD5}`],
    [`{CRYPT}${MD5}`, `{MD5-CRYPT}${MD5}`],
    [`{md5}${MD5}`, `{MD5-CRYPT}${MD5}`],
    ["{CRYPT}ReDwsPYvlvoww", "{DES-CRYPT}ReDwsPYvlvoww"],
    ["{DES-CRYPT}ReDwsPYvlvoww", "{DES-CRYPT}ReDwsPYvlvoww"],
    ["{SMD5}WuM0ZHYZXeZGPut0bgWNoEXmA1g=", "{SMD5}WuM0ZHYZXeZGPut0bgWNoEXmA1g="],
    ["{LDAP-MD5}+/HGse+zBGXz5OhkOVcbug==", "{LDAP-MD5}+/HGse+zBGXz5OhkOVcbug=="],
    ["{PLAIN-MD5}f173f8c080dabf03ea53d7cb60336963", "{PLAIN-MD5}f173f8c080dabf03ea53d7cb60336963"],
  ])("%s", (stored, hash) => {
    expect(parseStored(stored)).toEqual({ hash });
    expect(isStoredHash(hash)).toBe(true);
    expect(weakScheme(hash)).toBe(/^\{(.*)\}/.exec(hash)?.[1]);
    expect(weakScheme(`{BLF-CRYPT}${BCRYPT}`)).toBeUndefined();
  });
});

test("a password in clear text is told apart from hashes", () => {
  expect(parseStored("{PLAIN}pw-s19.plain-2026")).toEqual({ plain: "pw-s19.plain-2026" });
  expect(parseStored("{CLEARTEXT}with {braces}")).toEqual({ plain: "with {braces}" });
  expect(parseStored("{PLAIN}")).toEqual({ problem: expect.any(String) });
});

test("what is wrong with a stored password repeats no part of it", () => {
  const secret = fc.string({ unit: fc.constantFrom(..."QXZJ79{}$!*:"), minLength: 8, maxLength: 20 });
  fc.assert(
    fc.property(secret, (text) => {
      const judged = parseStored(text);
      if ("problem" in judged) expect(judged.problem).not.toContain(text.slice(1, 7));
    }),
  );
});

test("whatever parses is a stored hash, and has nothing that a record's line or a passwd-file escapes", () => {
  const parts = fc.constantFrom(
    "{",
    "}",
    "BLF-CRYPT",
    "SSHA",
    "CRYPT",
    "MD5-CRYPT",
    "PLAIN-MD5",
    "$1$DCGN63z1$LhUzk7wgb4rTosHgFt/EC.",
    "f173f8c080dabf03ea53d7cb60336963",
    BCRYPT,
    SHA512,
    PBKDF2,
    ":",
    '"',
    "\\",
    "\n",
    "x",
  );
  fc.assert(
    fc.property(fc.array(parts, { maxLength: 6 }), (some) => {
      const judged = parseStored(some.join(""));
      if (!("hash" in judged)) return;
      expect(judged.hash).toSatisfy(isStoredHash);
      expect(judged.hash).toMatch(/^[{}./A-Za-z0-9$=,+-]+$/);
    }),
    { numRuns: 2000 },
  );
});
