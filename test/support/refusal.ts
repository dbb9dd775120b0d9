import { MailError } from "../../src/mail/error.ts";

/** Returns the MailError that `fn` throws. */
export function refusalOf(fn: () => unknown): MailError {
  try {
    fn();
  } catch (error) {
    if (error instanceof MailError) return error;
    throw error;
  }
  throw new Error("it was accepted");
}

/** Returns the result of `fn`, or undefined if it throws a MailError. Any other error is a bug. */
export function attempt<T>(fn: () => T): T | undefined {
  try {
    return fn();
  } catch (error) {
    if (error instanceof MailError) return undefined;
    throw error;
  }
}
