/**
 * Stored passwords of other mail systems that nodes can serve unchanged: those that Dovecot accepts at login, with bounded
 * costs, because one process checks all logins one after another. Dovecot 2.4 refuses some that 2.3 accepts: weakScheme().
 */

/**
 * The stored password of a mailbox whose login is off. It is a bcrypt hash of the cheapest cost whose 184 bits are all 0: no
 * known password has it, and both Dovecots refuse each one as wrong (docs/decisions/login-off.md).
 */
export const NO_LOGIN = `{BLF-CRYPT}$2y$04$${".".repeat(53)}`;

/** A crypt(3) hash by its id, with Dovecot's scheme. */
const CRYPT: readonly (readonly [id: RegExp, scheme: string, form: RegExp])[] = [
  [/^\$2[abxy]\$/, "BLF-CRYPT", /^\$2[abxy]\$(0[4-9]|1[0-4])\$[./A-Za-z0-9]{53}$/],
  [/^\$5\$/, "SHA256-CRYPT", /^\$5\$(rounds=[1-9]\d{3,5}\$)?[./A-Za-z0-9]{1,16}\$[./A-Za-z0-9]{43}$/],
  [/^\$6\$/, "SHA512-CRYPT", /^\$6\$(rounds=[1-9]\d{3,5}\$)?[./A-Za-z0-9]{1,16}\$[./A-Za-z0-9]{86}$/],
  // yescrypt: mkpasswd's costs up to 64 MiB for each login.
  [/^\$y\$/, "CRYPT", /^\$y\$j(75|85|[789AB]T)\$[./A-Za-z0-9]{1,86}\$[./A-Za-z0-9]{43}$/],
  [/^\$argon2id\$/, "ARGON2ID", argon2("argon2id")],
  [/^\$argon2i\$/, "ARGON2I", argon2("argon2i")],
];

/** Up to 64 MiB, 10 passes and 4 lanes: Dovecot's process for logins has 256 MiB by default. */
function argon2(id: string): RegExp {
  const memory = "m=([1-9]\\d{0,3}|[1-5]\\d{4}|6[0-4]\\d{3}|65[0-4]\\d{2}|655[0-2]\\d|6553[0-6])";
  return new RegExp(
    `^\\$${id}\\$v=19\\$${memory},t=([1-9]|10),p=[1-4]\\$[A-Za-z0-9+/]{11,86}\\$[A-Za-z0-9+/]{16,86}$`,
  );
}

const PBKDF2 = /^\$1\$[./A-Za-z0-9]{1,64}\$[1-9]\d{0,5}\$[0-9a-f]{40}$/;

/** Salted digests in base64, by the digest's length in bytes. */
const SALTED: Readonly<Record<string, number>> = { SSHA: 20, SSHA256: 32, SSHA512: 64 };
const MOST_SALT = 64;

const MD5_CRYPT = /^\$1\$[./A-Za-z0-9]{1,8}\$[./A-Za-z0-9]{22}$/;
const DES_CRYPT = /^[./A-Za-z0-9]{13}$/;

/** Schemes that only Dovecot 2.3 accepts. The database finds their hashes by the schemes' names. */
const WEAK: Readonly<Record<string, (hash: string) => boolean>> = {
  "MD5-CRYPT": (hash) => MD5_CRYPT.test(hash),
  "DES-CRYPT": (hash) => DES_CRYPT.test(hash),
  SMD5: (hash) => isSalted(hash, 16),
  "LDAP-MD5": (hash) => /^[A-Za-z0-9+/]{22}==$/.test(hash),
  "PLAIN-MD5": (hash) => /^[0-9a-f]{32}$/.test(hash),
};

const PLAIN = ["PLAIN", "CLEARTEXT"];
const UNSALTED = ["SHA", "SHA1", "SHA256", "SHA512"];
const OTHER_LOGIN = ["CRAM-MD5", "DIGEST-MD5", "HMAC-MD5", "SCRAM-SHA-1", "SCRAM-SHA-256", "RPA", "OTP"];

/** True for a stored password that nodes serve to Dovecot: `{SCHEME}` in upper case, then the hash. */
export function isStoredHash(text: string): boolean {
  const [, scheme = "", hash = ""] = /^\{([A-Z0-9-]{3,12})\}([^{}]{1,250})$/.exec(text) ?? [];
  const length = SALTED[scheme];
  if (length !== undefined) return isSalted(hash, length);
  if (scheme === "PBKDF2") return PBKDF2.test(hash);
  if (Object.hasOwn(WEAK, scheme)) return WEAK[scheme]?.(hash) === true;
  return CRYPT.some(
    ([, own, form]) =>
      (scheme === own || (scheme === "CRYPT" && !own.startsWith("ARGON2"))) && form.test(hash),
  );
}

/** The scheme of a stored password that Dovecot 2.4 refuses at login, and 2.3 accepts; else undefined. */
export function weakScheme(hash: string): string | undefined {
  const [, scheme = ""] = /^\{([^}]+)\}/.exec(hash) ?? [];
  return Object.hasOwn(WEAK, scheme) ? scheme : undefined;
}

function isSalted(hash: string, length: number): boolean {
  const bytes = Buffer.from(hash, "base64");
  // Dovecot requires the padding.
  return bytes.toString("base64") === hash && bytes.length > length && bytes.length <= length + MOST_SALT;
}

/** A stored password's use: it is served as `hash`, hashed from `plain`, or its owner needs a new one. */
export type StoredPassword = { hash: string } | { plain: string } | { problem: string };

/** Parses a stored password of another system. A problem's text repeats no part of it except a known scheme's name. */
export function parseStored(text: string): StoredPassword {
  if (text === "") return { problem: "it has no password there" };
  if (text === NO_LOGIN) return { problem: "its login is off there, or nobody has chosen its password yet" };
  if (/^[!*]/.test(text)) return { problem: "its password is locked or hidden there" };
  if (/^\$bcrypt-sha256\$/.test(text)) return { problem: "Dovecot cannot verify passlib's bcrypt-sha256" };
  const [, named, rest = ""] = /^\{([A-Za-z0-9-]{3,20})\}(.*)$/s.exec(text) ?? [];
  if (named === undefined) return parseRaw(text);
  const scheme = named.toUpperCase();
  if (PLAIN.includes(scheme)) return rest === "" ? { problem: "it has no password there" } : { plain: rest };
  if (["MD5", "CRYPT"].includes(scheme) && MD5_CRYPT.test(rest)) return { hash: `{MD5-CRYPT}${rest}` };
  if (scheme === "CRYPT" && DES_CRYPT.test(rest)) return { hash: `{DES-CRYPT}${rest}` };
  if (UNSALTED.includes(scheme)) return { problem: `its ${scheme} hash has no salt` };
  if (OTHER_LOGIN.includes(scheme)) return { problem: `${scheme} hashes serve another way to log in` };
  const hash = `{${scheme}}${rest}`;
  if (isStoredHash(hash)) return { hash };
  const isKnown = [
    ...Object.keys({ ...SALTED, ...WEAK }),
    "MD5",
    "PBKDF2",
    "CRYPT",
    ...CRYPT.map(([, own]) => own),
  ];
  return isKnown.includes(scheme)
    ? damaged(scheme)
    : { problem: "its hash has a scheme that Dovecot does not know" };
}

/** A hash without Dovecot's prefix, by crypt's. */
function parseRaw(text: string): StoredPassword {
  const [, scheme] = CRYPT.find(([id]) => id.test(text)) ?? [];
  if (scheme !== undefined) {
    const hash = `{${scheme}}${text}`;
    return isStoredHash(hash) ? { hash } : damaged(scheme);
  }
  if (/^\$1\$/.test(text))
    return MD5_CRYPT.test(text) ? { hash: `{MD5-CRYPT}${text}` } : damaged("MD5-CRYPT");
  if (isDigest(text)) return { problem: "its hash has no salt" };
  return { problem: "its hash has no recognisable scheme" };
}

/** True for a digest in hexadecimal: of MD5, SHA-1, SHA-256 or SHA-512. */
export function isDigest(text: string): boolean {
  return /^[0-9a-f]+$/i.test(text) && [32, 40, 64, 128].includes(text.length);
}

function damaged(scheme: string): StoredPassword {
  return { problem: `its ${scheme} hash is damaged, or too costly for nodes` };
}
