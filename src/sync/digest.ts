import { createHash } from "node:crypto";
import { canonicalLine, type MailRecord } from "./records.ts";

const WORDS = 8;

/**
 * A digest of a set of records, independent of their order: the sum, modulo 2^256, of the SHA-256 of each
 * canonical line, read as a big-endian integer. Adding or removing a record takes constant time, and the digests
 * of parts add up to the digest of the whole.
 *
 * It detects damage, loss and mix-ups. It does not protect against an attacker who controls the server: chosen
 * records can forge a sum (Wagner's generalised birthday), and such a server could serve anything anyway.
 */
export class StateDigest {
  readonly #words = new Uint32Array(WORDS);

  static fromHex(hex: string): StateDigest {
    if (!/^[0-9a-f]{64}$/.test(hex)) throw new RangeError("a digest is 64 hexadecimal digits");
    const digest = new StateDigest();
    digest.#accumulate(Buffer.from(hex, "hex"), 1);
    return digest;
  }

  add(record: MailRecord): this {
    return this.#accumulate(hashOf(record), 1);
  }

  remove(record: MailRecord): this {
    return this.#accumulate(hashOf(record), -1);
  }

  addDigest(other: StateDigest): this {
    return this.#accumulate(other.#bytes(), 1);
  }

  /** 64 lower-case hexadecimal digits. */
  toString(): string {
    return this.#bytes().toString("hex");
  }

  #accumulate(summand: Buffer, sign: 1 | -1): this {
    let carry = 0;
    for (let word = WORDS - 1; word >= 0; word -= 1) {
      const total = (this.#words[word] ?? 0) + sign * summand.readUInt32BE(word * 4) + carry;
      this.#words[word] = total; // stored modulo 2^32
      carry = Math.floor(total / 2 ** 32);
    }
    return this;
  }

  #bytes(): Buffer {
    const bytes = Buffer.alloc(WORDS * 4);
    this.#words.forEach((word, index) => {
      bytes.writeUInt32BE(word, index * 4);
    });
    return bytes;
  }
}

/** By way of text, because a hash as a Buffer takes node:crypto twice as long. */
function hashOf(record: MailRecord): Buffer {
  return Buffer.from(createHash("sha256").update(canonicalLine(record)).digest("binary"), "binary");
}
