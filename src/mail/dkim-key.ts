import { createHash } from "node:crypto";

/** An RSA-2048 public key with the exponent 65537: its SubjectPublicKeyInfo in base64, as a DKIM record has it in `p`. */
export const DKIM_KEY = /^MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEA[0-9A-Za-z+/]{342}IDAQAB$/;

/**
 * Days for which mail that a key has signed may be on its way: 5 in the sender's queue (RFC 5321, 4.5.4.1), 5 in that of a
 * server that forwards it, and some to spare. So long its record must stay.
 */
export const DKIM_DAYS = 14;

/** A key's selector is made from the key: two keys never share one. */
export function dkimSelector(publicKey: string): string {
  return `m25-${createHash("sha256").update(publicKey).digest("hex").slice(0, 12)}`;
}
