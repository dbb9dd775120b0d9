/**
 * The periods for which recipients are counted, in the order of the canonical text. `first_time`: those in a day to whom the mailbox
 * has not written before.
 */
export const sendingPeriods = ["hour", "day", "first_time"] as const;

export type SendingPeriod = (typeof sendingPeriods)[number];

/** How many recipients a mailbox may write to in each period; 0 is any number. For an absent one the next wider limit holds. */
export type SendingLimit = { readonly [Period in SendingPeriod]?: number | undefined };

export const MAX_SENDING_LIMIT = 1_000_000;

/** True for a limit that sets at least one period, and nothing else. */
export function isSendingLimit(value: unknown): value is SendingLimit {
  if (typeof value !== "object" || value === null) return false;
  const entries = Object.entries(value);
  return (
    entries.length > 0 &&
    entries.every(
      ([period, number]) =>
        sendingPeriods.some((name) => name === period) &&
        Number.isInteger(number) &&
        number >= 0 &&
        number <= MAX_SENDING_LIMIT,
    )
  );
}

/** The canonical JSON of a limit: its periods in order. */
export function sendingLimitText(limit: SendingLimit): string {
  return JSON.stringify(limit, [...sendingPeriods]);
}
