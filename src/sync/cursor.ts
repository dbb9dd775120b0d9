import { createCipheriv, createDecipheriv, createHmac } from "node:crypto";

/** A node's position: the content of a cursor. */
export interface Position {
  history: string;
  revision: number;
  /** Digest of the whole state at that revision, not of the node's part. */
  digest: string;
  /** The part of the state that the node has (View.id). */
  view: string;
}

const CIPHER = "aes-256-gcm";
const NONCE_BYTES = 12;
const TAG_BYTES = 16;

/**
 * Makes a cursor. Only this database can make one, so a cursor beyond its own revision proves that an older file was put
 * back. Cursors are encrypted: a readable digest would confirm a limited node's guesses about other domains.
 *
 * @param key the database's own, 32 bytes in hexadecimal
 */
export function encodeCursor({ history, revision, digest, view }: Position, key: string): string {
  const text = `${history}.${revision}.${digest}.${view}`;
  const secret = Buffer.from(key, "hex");
  // The nonce comes from the text, so that one position has one cursor. No two texts share a nonce.
  const nonce = createHmac("sha256", secret).update(text).digest().subarray(0, NONCE_BYTES);
  const cipher = createCipheriv(CIPHER, secret, nonce);
  const sealed = cipher.update(text);
  return Buffer.concat([nonce, sealed, cipher.final(), cipher.getAuthTag()]).toString("base64url");
}

/** Returns the position of a genuine cursor, else undefined. */
export function decodeCursor(cursor: string, key: string): Position | undefined {
  const text = unseal(cursor, key);
  const match = text === undefined ? null : /^(\w{32})\.(\d{1,15})\.(\w{64})\.(\w{1,40})$/.exec(text);
  if (match === null) return undefined;
  const [, history = "", revision = "", digest = "", view = ""] = match;
  return { history, revision: Number(revision), digest, view };
}

function unseal(cursor: string, key: string): string | undefined {
  const bytes = Buffer.from(cursor, "base64url");
  // base64url decoding is lenient; accept the canonical form only.
  if (bytes.length <= NONCE_BYTES + TAG_BYTES || bytes.toString("base64url") !== cursor) return undefined;
  const nonce = bytes.subarray(0, NONCE_BYTES);
  const decipher = createDecipheriv(CIPHER, Buffer.from(key, "hex"), nonce, { authTagLength: TAG_BYTES });
  decipher.setAuthTag(bytes.subarray(-TAG_BYTES));
  const text = decipher.update(bytes.subarray(NONCE_BYTES, -TAG_BYTES));
  try {
    return Buffer.concat([text, decipher.final()]).toString();
  } catch {
    return undefined; // forged, damaged, or another database's
  }
}
