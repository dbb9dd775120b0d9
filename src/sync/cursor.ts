import { createCipheriv, createDecipheriv, createHmac } from "node:crypto";

/** How far a node has come: what a cursor says to the server that made it. */
export interface Position {
  history: string;
  revision: number;
  /** The digest of the whole state at that revision, not of the node's part. */
  digest: string;
  /** Which part of the state the node was given (View.id). */
  view: string;
}

const CIPHER = "aes-256-gcm";
const NONCE_BYTES = 12;
const TAG_BYTES = 16;

/**
 * A position that only this database can give out: one from beyond its own revision proves that an older file was put
 * back. It is sealed, because the digest would confirm a limited node's guesses about other domains.
 *
 * @param key the database's own, 32 bytes in hexadecimal
 */
export function encodeCursor({ history, revision, digest, view }: Position, key: string): string {
  const text = `${history}.${revision}.${digest}.${view}`;
  const secret = Buffer.from(key, "hex");
  // Of the text and not random, so that one position has one cursor; no two texts share a nonce.
  const nonce = createHmac("sha256", secret).update(text).digest().subarray(0, NONCE_BYTES);
  const cipher = createCipheriv(CIPHER, secret, nonce);
  const sealed = cipher.update(text);
  return Buffer.concat([nonce, sealed, cipher.final(), cipher.getAuthTag()]).toString("base64url");
}

/** The position of a genuine cursor, or undefined. */
export function decodeCursor(cursor: string, key: string): Position | undefined {
  const text = unseal(cursor, key);
  const match = text === undefined ? null : /^(\w{32})\.(\d{1,15})\.(\w{64})\.(\w{1,40})$/.exec(text);
  if (match === null) return undefined;
  const [, history = "", revision = "", digest = "", view = ""] = match;
  return { history, revision: Number(revision), digest, view };
}

function unseal(cursor: string, key: string): string | undefined {
  const bytes = Buffer.from(cursor, "base64url");
  // Decoding is lenient, and a cursor has one form only.
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
