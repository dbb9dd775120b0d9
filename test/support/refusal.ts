import { MailError } from "../../src/mail/error.ts";

/** The MailError that `fn` throws. */
export function refusalOf(fn: () => unknown): MailError {
  try {
    fn();
  } catch (error) {
    if (error instanceof MailError) return error;
    throw error;
  }
  throw new Error("it was accepted");
}

/** What `fn` returns, or undefined when it refuses; anything else that it throws is a bug. */
export function attempt<T>(fn: () => T): T | undefined {
  try {
    return fn();
  } catch (error) {
    if (error instanceof MailError) return undefined;
    throw error;
  }
}
