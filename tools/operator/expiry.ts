import * as z from "zod";
import { MailError } from "../../src/mail/error.ts";

const UNITS: Readonly<Record<string, number>> = { d: 86_400_000, h: 3_600_000 };

/** How long something lasts: days or hours from now, or its last day (UTC). */
export const Expiry = z
  .string()
  .regex(
    /^([1-9]\d{0,4}[dh]|\d{4}-\d\d-\d\d)$/,
    "this must be days or hours, such as 90d or 12h, or the last day, such as 2027-01-31.",
  );

/**
 * @returns when it ends, RFC 3339 UTC
 * @throws MailError invalid_input for a day in the past, or no date
 */
export function endOf(expiry: string, now: Date): string {
  const [, count, unit = ""] = /^(\d+)([dh])$/.exec(expiry) ?? [];
  if (count !== undefined) return new Date(now.getTime() + Number(count) * (UNITS[unit] ?? 0)).toISOString();
  const lastInstant = `${expiry}T23:59:59.999Z`;
  if (z.iso.datetime().safeParse(lastInstant).success && Date.parse(lastInstant) > now.getTime()) {
    return lastInstant;
  }
  throw new MailError(
    "invalid_input",
    `${expiry} is in the past, or is not a date.`,
    "Give days or hours from now, such as 90d or 12h, or the last day, such as 2027-01-31.",
  );
}
