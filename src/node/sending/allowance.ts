import { type SendingPeriod, sendingPeriods } from "../../mail/sending-limit.ts";

/** How many recipients a mailbox may write to; 0 is no limit. */
export type SendingLimits = Readonly<Record<SendingPeriod, number>>;

/** `wait`: minutes until as many recipients are free, `never` for more recipients than a period allows. */
export type Verdict =
  | { may: true }
  | { may: false; limit: number; period: SendingPeriod; wait: number | "never" };

const HOUR = 3_600_000;

const lengths: Readonly<Record<SendingPeriod, number>> = {
  hour: HOUR,
  day: 24 * HOUR,
  first_time: 24 * HOUR,
};

/** Counts recipients by mailbox. Used ones come back evenly over the period. A restart forgets it. */
export class Allowance {
  readonly #limitsOf: (mailbox: string) => SendingLimits;
  /** The recipients that each mailbox has used of each period, at a time in ms. */
  readonly #used = new Map<string, { amounts: number[]; at: number }>();

  constructor(limitsOf: (mailbox: string) => SendingLimits) {
    this.#limitsOf = limitsOf;
  }

  /**
   * Counts a message if the mailbox may send it now; a refused one does not count.
   *
   * @param now ms of a clock that nobody sets
   * @param firstTime how many of the recipients are new to the mailbox
   */
  take(mailbox: string, recipients: number, now: number, firstTime = 0): Verdict {
    const amounts = this.#amountsAt(mailbox, now);
    const limits = this.#limitsOf(mailbox);
    const asked = sendingPeriods.map((period) => (period === "first_time" ? firstTime : recipients));
    for (const [index, period] of sendingPeriods.entries()) {
      const limit = limits[period];
      const more = asked[index] ?? 0;
      const excess = (amounts[index] ?? 0) + more - limit;
      if (limit === 0 || more === 0 || excess <= 0) continue;
      const wait = more > limit ? "never" : Math.ceil((excess * lengths[period]) / limit / 60_000);
      return { may: false, limit, period, wait };
    }
    this.#used.set(mailbox, {
      amounts: amounts.map((amount, index) => amount + (asked[index] ?? 0)),
      at: now,
    });
    return { may: true };
  }

  /** Forgets mailboxes that have all of their allowance back. */
  forgetUnused(now: number): void {
    for (const mailbox of this.#used.keys())
      if (this.#amountsAt(mailbox, now).every((amount) => amount === 0)) this.#used.delete(mailbox);
  }

  get size(): number {
    return this.#used.size;
  }

  #amountsAt(mailbox: string, now: number): number[] {
    const used = this.#used.get(mailbox);
    if (used === undefined) return sendingPeriods.map(() => 0);
    const limits = this.#limitsOf(mailbox);
    return sendingPeriods.map((period, index) => {
      const limit = limits[period];
      const back = limit === 0 ? Number.POSITIVE_INFINITY : ((now - used.at) * limit) / lengths[period];
      return Math.max(0, (used.amounts[index] ?? 0) - back);
    });
  }
}
