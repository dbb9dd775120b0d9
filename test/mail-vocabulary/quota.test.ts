import { expect, test } from "vitest";
import { isQuota } from "../../src/mail/quota.ts";

test.each([1, 1024, 1_048_576])("%s MiB is a quota", (value) => {
  expect(isQuota(value)).toBe(true);
});

test.each([0, -1, 1.5, 1_048_577, 1e9, Number.NaN, Number.POSITIVE_INFINITY, "5", null, undefined, 5n, [5]])(
  "%s is not a quota, since Dovecot reads 0 as unlimited",
  (value) => {
    expect(isQuota(value)).toBe(false);
  },
);
