import { createHmac, timingSafeEqual } from "node:crypto";

/** How far a node has come: what a cursor says to the server that made it. */
export interface Position {
  history: string;
  revision: number;
  /** The digest of the whole state at that revision, not of the node's part. */
  digest: string;
  /** Which part of the state the node was given (View.id). */
  view: string;
}

const MAC_BYTES = 16;

/**
 * A position that only this database can have given out: so one from beyond its own revision proves that
 * an older file was put back.
 *
 * @param key the database's own, 32 bytes in hexadecimal
 */
export function encodeCursor({ history, revision, digest, view }: Position, key: string): string {
  const text = `${history}.${revision}.${digest}.${view}`;
  return `${text}.${mac(text, key).toString("hex")}`;
}

/** The position of a genuine cursor, or undefined. */
export function decodeCursor(cursor: string, key: string): Position | undefined {
  const match = /^((\w{32})\.(\d{1,15})\.(\w{64})\.(\w{1,40}))\.([0-9a-f]{32})$/.exec(cursor);
  if (match === null) return undefined;
  const [, text = "", history = "", revision = "", digest = "", view = "", given = ""] = match;
  if (!timingSafeEqual(mac(text, key), Buffer.from(given, "hex"))) return undefined;
  return { history, revision: Number(revision), digest, view };
}

function mac(text: string, key: string): Buffer {
  return createHmac("sha256", Buffer.from(key, "hex")).update(text).digest().subarray(0, MAC_BYTES);
}
