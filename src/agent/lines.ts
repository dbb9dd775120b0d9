import { RefusedAnswer } from "../sync/reader.ts";

/** Longer than any record can be: an address of 254, a hash of 71, and what stands around them. */
const MAX_LINE = 4096;

/**
 * Cuts pieces of text into lines and hands each on, without its line end.
 *
 * @throws RefusedAnswer when a line is too long to be one of ours, or when all of it is more than `maxBytes`
 */
export class LineSplitter {
  readonly #push: (line: string) => void;
  readonly #maxBytes: number;
  #rest = "";
  #lines = 0;
  #bytes = 0;

  constructor(push: (line: string) => void, maxBytes: number) {
    this.#push = push;
    this.#maxBytes = maxBytes;
  }

  /** @param piece one character a byte (Latin-1) */
  add(piece: string): void {
    this.#bytes += piece.length;
    if (this.#bytes > this.#maxBytes) throw new RefusedAnswer("too_large", this.#lines + 1);
    let start = 0;
    for (;;) {
      const end = piece.indexOf("\n", start);
      if (end < 0) break;
      this.#line(this.#rest + piece.slice(start, end));
      this.#rest = "";
      start = end + 1;
    }
    this.#rest += piece.slice(start);
    this.#limit(this.#rest);
  }

  /**
   * Hands on a last line without its line end, too: the end line is complete without it.
   *
   * @throws RefusedAnswer cut_short when the reader makes nothing of it
   */
  end(): void {
    if (this.#rest === "") return;
    try {
      this.#line(this.#rest);
    } catch (error) {
      if (this.#lines > 1 && error instanceof RefusedAnswer)
        throw new RefusedAnswer("cut_short", this.#lines);
      throw error;
    }
  }

  #line(line: string): void {
    this.#limit(line);
    this.#lines += 1;
    this.#push(line);
  }

  #limit(line: string): void {
    if (line.length > MAX_LINE) throw new RefusedAnswer("too_large", this.#lines + 1);
  }
}
