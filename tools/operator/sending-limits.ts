import * as z from "zod";
import { DomainName, EmailAddress } from "../../src/mail/schemas.ts";
import {
  isSendingLimit,
  MAX_SENDING_LIMIT,
  type SendingLimit,
  type SendingPeriod,
  sendingPeriods,
} from "../../src/mail/sending-limit.ts";
import { defineTool } from "../call/tool.ts";
import { liveFields, liveness } from "../nodes/liveness.ts";
import { refuseInactive } from "../update-password.ts";

const Recipients = z
  .union([z.literal("default"), z.int().min(0).max(MAX_SENDING_LIMIT)], {
    error: `this must be a whole number from 0 (any number) to ${MAX_SENDING_LIMIT}, or default.`,
  })
  .optional();

const input = {
  recipients_per_hour: Recipients,
  recipients_per_day: Recipients,
  first_time_recipients_per_day: Recipients.describe("Of those in a day: to whom it has not written before."),
};

/** Limits as results show them. */
export const sendingFields = {
  recipients_per_hour: z.union([z.int(), z.literal("default")]),
  recipients_per_day: z.union([z.int(), z.literal("default")]),
  first_time_recipients_per_day: z.union([z.int(), z.literal("default")]),
};

export const setUserLimits = defineTool({
  endpoint: "set-user-limits",
  title: "Limit what a mailbox sends",
  description:
    "Sets how many recipients a mailbox may write to in an hour and in a day: 0 is any number, default is its domain's limit. " +
    "Without a number it changes nothing and shows the mailbox's own limits.",
  effect: "write",
  input: z.strictObject({ email: EmailAddress, ...input }),
  output: z.object({ email: z.string(), ...sendingFields, ...liveFields }),
  async run(context, { email, ...limits }) {
    const { tables, at } = context;
    const user = await tables.users.get(email);
    refuseInactive(user);
    const next = changed(user.sendingLimit, limits);
    const shown = { email: user.email, ...shownLimits(next) };
    if (next === user.sendingLimit) return { ...shown, revision: await tables.state.revision() };
    await tables.users.update(user, { sendingLimit: next }, at);
    return { ...shown, ...(await liveness(context, user.domain)) };
  },
});

export const setDomainLimits = defineTool({
  endpoint: "set-domain-limits",
  title: "Limit what a domain's mailboxes send",
  description:
    "Sets how many recipients each mailbox of a domain may write to in an hour and in a day, unless it has its own limit: 0 is " +
    "any number, default is each node's limit. Without a number it changes nothing and shows the domain's limits.",
  effect: "write",
  input: z.strictObject({ domain: DomainName, ...input }),
  output: z.object({ domain: z.string(), ...sendingFields, ...liveFields }),
  async run(context, { domain, ...limits }) {
    const { tables, at } = context;
    const found = await tables.domains.get(domain);
    const next = changed(found.sendingLimit, limits);
    const shown = { domain, ...shownLimits(next) };
    if (next === found.sendingLimit) return { ...shown, revision: await tables.state.revision() };
    await tables.domains.setSendingLimit(found, next, at);
    return { ...shown, ...(await liveness(context, domain)) };
  },
});

/** A mailbox's limits as results show them: its own, else its domain's. */
export function shownLimits(own: SendingLimit | null, ofDomain: SendingLimit | null = null) {
  const limit = (period: SendingPeriod) => own?.[period] ?? ofDomain?.[period] ?? ("default" as const);
  return {
    recipients_per_hour: limit("hour"),
    recipients_per_day: limit("day"),
    first_time_recipients_per_day: limit("first_time"),
  };
}

type Limits = { [name in keyof typeof input]?: z.output<typeof Recipients> };

/** The limits after a change; the same object if nothing changes. */
function changed(
  present: SendingLimit | null,
  { recipients_per_hour, recipients_per_day, first_time_recipients_per_day }: Limits,
): SendingLimit | null {
  const wanted = {
    hour: recipients_per_hour,
    day: recipients_per_day,
    first_time: first_time_recipients_per_day,
  };
  const next: { [Period in SendingPeriod]?: number } = { ...present };
  let isSame = true;
  for (const period of sendingPeriods) {
    const value = wanted[period];
    if (value === undefined || value === (present?.[period] ?? "default")) continue;
    isSame = false;
    if (value === "default") delete next[period];
    else next[period] = value;
  }
  if (isSame) return present;
  return isSendingLimit(next) ? next : null;
}
