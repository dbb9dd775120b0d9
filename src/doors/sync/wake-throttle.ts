/** The shortest rest between two wakes, in ms. */
const LEAST_REST = 250;
/** The rest lasts at least this many times the wake's processor time: two thirds stay for other requests. */
const REST_PER_COST = 2;

/** The time, and the answering thread's processor time, both in ms since any moment. */
export interface ThrottleClocks {
  now(): number;
  processor(): number;
}

const realClocks: ThrottleClocks = {
  now: () => performance.now(),
  processor: () => {
    const { user, system } = process.threadCpuUsage();
    return (user + system) / 1000;
  },
};

/**
 * Waking polls costs processor time. After each wake there is a rest, twice as long as that time and at least LEAST_REST;
 * changes during it are answered together at its end. A change after the rest wakes the polls at once.
 */
export class WakeThrottle {
  readonly #wake: () => void;
  readonly #clocks: ThrottleClocks;
  #owed = false;
  #timer: NodeJS.Timeout | undefined;
  /** Answers of the wake under way. */
  #answering = 0;
  #began = 0;
  #restsUntil = Number.NEGATIVE_INFINITY;

  constructor(wake: () => void, clocks: ThrottleClocks = realClocks) {
    this.#wake = wake;
    this.#clocks = clocks;
  }

  /** True while a wake is under way, and while it is too soon for the next. */
  get isResting(): boolean {
    return this.#answering > 0 || this.#clocks.now() < this.#restsUntil;
  }

  /** Wakes at once, or as soon as the rest is over. */
  ask(): void {
    this.#owed = true;
    this.#next();
  }

  /** Drops an owed wake, because no poll waits any more. */
  forget(): void {
    this.#owed = false;
    clearTimeout(this.#timer);
  }

  /** Begins an answer, which belongs to the wake under way or counts as one; `endAnswer` must follow. */
  beginAnswer(): void {
    if (this.#answering === 0) this.#began = this.#clocks.processor();
    this.#answering += 1;
  }

  endAnswer(): void {
    if (this.#answering > 1) this.#answering -= 1;
    // This turn of the event loop still writes the last answers.
    else setImmediate(() => this.#ended());
  }

  #ended(): void {
    this.#answering -= 1;
    if (this.#answering > 0) return;
    const cost = this.#clocks.processor() - this.#began;
    this.#restsUntil = this.#clocks.now() + Math.max(LEAST_REST, REST_PER_COST * cost);
    this.#next();
  }

  #next(): void {
    clearTimeout(this.#timer);
    if (!this.#owed || this.#answering > 0) return;
    const rest = this.#restsUntil - this.#clocks.now();
    if (rest > 0) {
      this.#timer = setTimeout(() => this.#next(), Math.ceil(rest));
      return;
    }
    this.#owed = false;
    this.#wake();
  }
}

/** One poll's permit to be answered, which counts as a part of a wake. */
export class AnswerPermit {
  readonly #throttle: WakeThrottle;
  #has = false;

  constructor(throttle: WakeThrottle) {
    this.#throttle = throttle;
  }

  /** True if the poll may be answered now; else it is woken when it may. */
  take(): boolean {
    if (!this.#has && this.#throttle.isResting) this.#throttle.ask();
    else this.begin();
    return this.#has;
  }

  begin(): void {
    if (this.#has) return;
    this.#has = true;
    this.#throttle.beginAnswer();
  }

  end(): void {
    if (!this.#has) return;
    this.#has = false;
    this.#throttle.endAnswer();
  }
}
