import { expect } from "vitest";
import type { ErrorCode } from "../../src/mail/error.ts";
import { type Endpoint, plainly, type Text } from "../../src/mail/text.ts";
import type { Outcome } from "../../tools/call/call.ts";

/** Expects a refusal with this code and, if operations are given, a hint to them. Returns its message. */
export function expectRefusal(outcome: Outcome, code: ErrorCode, leadsTo?: readonly Endpoint[]): string {
  if (outcome.ok) throw new Error(`expected ${code}, but it was done: ${JSON.stringify(outcome.value)}`);
  expect(outcome.error.code).toBe(code);
  expect(outcome.error.message).not.toBe("");
  expect(outcome.error.hint.join("")).not.toBe("");
  if (leadsTo !== undefined) expect(endpointsIn(outcome.error.hint)).toEqual(leadsTo);
  return outcome.error.message;
}

/** The commands at a shell that a text leads to, in order. */
export function commandsIn(said: unknown): string[] {
  return (said as Text).flatMap((part) =>
    typeof part === "object" && ("operator" in part || "node" in part) ? [plainly(part)] : [],
  );
}

/** The operations that a text leads to, in order. */
export function endpointsIn(said: Text): Endpoint[] {
  return said.flatMap((part) => (typeof part === "object" && "next" in part ? [part.next] : []));
}
