import { hash, randomBytes, timingSafeEqual } from "node:crypto";

/** The kinds of credential, by prefix: one is never taken for another. */
export const credentialPrefixes = { token: "m25tok", syncKey: "m25key", passwordLink: "m25pwl" } as const;

export type CredentialKind = keyof typeof credentialPrefixes;

export interface NewCredential {
  /** Shown once: prefix_id_secret, the id 16 hexadecimal digits, the secret 64 (256 bits). */
  text: string;
  id: string;
  /** SHA-256 of the text. The secret has 256 random bits: a slow hash would add nothing. */
  hash: string;
}

export function newCredential(kind: CredentialKind): NewCredential {
  const id = randomBytes(8).toString("hex");
  const text = `${credentialPrefixes[kind]}_${id}_${randomBytes(32).toString("hex")}`;
  return { text, id, hash: hash("sha256", text) };
}

const NO_HASH = "0".repeat(64);
const FORM = /^([a-z0-9]+)_([0-9a-f]{16})_[0-9a-f]{64}$/;

/** True if the text has the form of a credential of any kind. */
export function isCredential(text: string): boolean {
  return FORM.test(text);
}

/** The id of a well-formed credential of this kind, or undefined. */
export function credentialId(kind: CredentialKind, text: string): string | undefined {
  const match = FORM.exec(text);
  return match?.[1] === credentialPrefixes[kind] ? match[2] : undefined;
}

/** True if the text has the form of oidc-provider's access tokens: 43 base64url characters. */
export function isAccessToken(text: string): boolean {
  return /^[A-Za-z0-9_-]{43}$/.test(text);
}

/**
 * Takes the same time whether a credential is wrong or unknown.
 *
 * @param known the right credential's hash, or undefined if there is none
 */
export function credentialMatches(text: string, known: string | undefined): boolean {
  // Compares hexadecimal texts, as stored: node:crypto takes three times as long to return a Buffer.
  const same = timingSafeEqual(
    Buffer.from(hash("sha256", text), "latin1"),
    Buffer.from(known ?? NO_HASH, "latin1"),
  );
  return same && known !== undefined;
}
