/** How many recipients a mailbox may write to; 0 is no limit. */
export interface SendingLimits {
  perHour: number;
  perDay: number;
}

/** Limits that a person does not meet, and that stop a stolen password soon. */
export const DEFAULT_SENDING_LIMITS: SendingLimits = { perHour: 200, perDay: 1000 };

/** `wait`: minutes until as many recipients are free, `never` for more recipients than a period allows. */
export type Verdict =
  | { may: true }
  | { may: false; limit: number; period: "hour" | "day"; wait: number | "never" };

const HOUR = 3_600_000;

interface Period {
  name: "hour" | "day";
  length: number;
  limit: number;
}

/** Counts recipients by mailbox. Used ones come back evenly over the period. A restart forgets it. */
export class Allowance {
  readonly #periods: readonly Period[];
  /** The recipients that each mailbox has used of each period, at a time in ms. */
  readonly #used = new Map<string, { amounts: number[]; at: number }>();

  constructor({ perHour, perDay }: SendingLimits) {
    const periods: Period[] = [
      { name: "hour", length: HOUR, limit: perHour },
      { name: "day", length: 24 * HOUR, limit: perDay },
    ];
    this.#periods = periods.filter(({ limit }) => limit > 0);
  }

  /**
   * Counts a message if the mailbox may send it now; a refused one does not count.
   *
   * @param now ms of a clock that nobody sets
   */
  take(mailbox: string, recipients: number, now: number): Verdict {
    const amounts = this.#amountsAt(mailbox, now);
    for (const [index, { name, length, limit }] of this.#periods.entries()) {
      const excess = (amounts[index] ?? 0) + recipients - limit;
      if (excess <= 0) continue;
      const wait = recipients > limit ? "never" : Math.ceil((excess * length) / limit / 60_000);
      return { may: false, limit, period: name, wait };
    }
    this.#used.set(mailbox, { amounts: amounts.map((amount) => amount + recipients), at: now });
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
    return this.#periods.map(({ length, limit }, index) => {
      const amount = used?.amounts[index] ?? 0;
      return Math.max(0, amount - ((now - (used?.at ?? now)) * limit) / length);
    });
  }
}
