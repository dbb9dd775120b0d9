import { MailError } from "./error.ts";

/** How many aliases may lead to one mailbox: a change of it publishes all of them. */
export const MOST_LEADING = 1000;
/** How many aliases may lead to another alias: a change of it computes anew where each of them leads. */
export const MOST_LEADING_TO_ALIAS = 100;

/** The refusal of an address to which too many aliases would lead. */
export function crowded(address: string, most: number): MailError {
  return new MailError(
    "invalid_input",
    `More than ${most} aliases would lead to ${address}.`,
    "Nothing was changed. Use one alias for many addresses, or a catch-all.",
  );
}
