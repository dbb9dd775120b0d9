import * as z from "zod";
import type { User } from "../../db/users/rows.ts";
import type { Usage } from "../../db/users/usage.ts";

const KIB_PER_MB = 1024;

/** Output fields with what nodes have reported of a mailbox. Days are in UTC. */
export const usageFields = {
  used_mb: z.int().nullable().describe("MiB, rounded up; null: no node has reported it yet."),
  used_percent: z.int().nullable().describe("Of its quota."),
  messages: z.int().nullable(),
  last_login: z.string().nullable().describe("Day; null: none was seen."),
  unused_since: z
    .string()
    .nullable()
    .describe("last_login, or the day since when nodes look for logins. null: they cannot tell."),
  reported_on: z.string().nullable().describe("Day of these figures."),
};

/** @param usage undefined if no node has reported anything of the mailbox */
export function usageOf({ quotaMb }: Pick<User, "quotaMb">, usage: Usage | undefined) {
  const usedKib = usage?.usedKib ?? null;
  return {
    used_mb: usedKib === null ? null : Math.ceil(usedKib / KIB_PER_MB),
    used_percent: usedKib === null ? null : Math.floor((usedKib * 100) / (quotaMb * KIB_PER_MB)),
    messages: usage?.messages ?? null,
    last_login: usage?.lastLogin ?? null,
    unused_since: usage?.unusedSince ?? null,
    reported_on: usage?.reportedOn ?? null,
  };
}
