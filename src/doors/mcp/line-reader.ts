/** Puts together the lines of a stream that comes in pieces. */
export class LineReader {
  readonly #most: number;
  #parts: Buffer[] = [];
  #length = 0;

  /** @param most bytes of a line; longer lines are dropped */
  constructor(most: number) {
    this.#most = most;
  }

  /** The lines that end in this piece, without their ends; undefined for a line that becomes too long in it. */
  *endingIn(piece: Buffer): Generator<Buffer | undefined> {
    for (let start = 0; start < piece.length; ) {
      const newline = piece.indexOf("\n", start);
      const end = newline === -1 ? piece.length : newline;
      const wasTooLong = this.#length > this.#most;
      this.#length += end - start;
      if (this.#length <= this.#most) this.#parts.push(piece.subarray(start, end));
      else this.#parts = [];
      if (this.#length > this.#most && !wasTooLong) yield undefined;
      if (newline !== -1) {
        if (this.#length <= this.#most) yield Buffer.concat(this.#parts);
        this.#parts = [];
        this.#length = 0;
      }
      start = end + 1;
    }
  }
}
