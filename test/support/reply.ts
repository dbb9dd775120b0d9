import { expect } from "vitest";
import type { ErrorCode } from "../../src/mail/error.ts";
import type { Outcome } from "../../tools/call.ts";

/** Expects a refusal with this code, whose hint holds `hint`; and gives its message. */
export function expectRefusal(outcome: Outcome, code: ErrorCode, hint: string | RegExp = ""): string {
  if (outcome.ok) throw new Error(`expected ${code}, but it was done: ${JSON.stringify(outcome.value)}`);
  expect(outcome.error.code).toBe(code);
  expect(outcome.error.message).not.toBe("");
  expect(outcome.error.hint).toMatch(hint);
  return outcome.error.message;
}
