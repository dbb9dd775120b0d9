import * as z from "zod";
import { parseAddress, parseAliasAddress, parseDomain } from "./address.ts";
import { parseAddressStart } from "./address-start.ts";
import { MailError } from "./error.ts";
import { parseNetwork } from "./network.ts";
import { parsePassword } from "./password.ts";
import { DEFAULT_QUOTA_MB, MAX_QUOTA_MB, MIN_QUOTA_MB } from "./quota.ts";

/** A zod string that `parse` converts to its stored form. A MailError of `parse` becomes the field's issue. */
function parsed<T>(parse: (text: string) => T, bounds: { min?: number; max: number }, description: string) {
  return z
    .string()
    .transform((text, context): T => {
      try {
        return parse(text);
      } catch (error) {
        if (!(error instanceof MailError)) throw error;
        context.addIssue({ code: "custom", message: error.message, params: { hint: error.hint } });
        return z.NEVER;
      }
    })
    .meta({ description, ...(bounds.min !== undefined && { minLength: bounds.min }), maxLength: bounds.max });
}

export const DomainName = parsed(parseDomain, { max: 253 }, "Domain name, e.g. example.nl.");

export const EmailAddress = parsed(parseAddress, { max: 254 }, "Full address, e.g. jan@example.nl.");

export const AliasAddress = parsed(
  parseAliasAddress,
  { max: 254 },
  "Full address, e.g. info@example.nl; or @example.nl, the catch-all: every address there that is neither mailbox nor alias.",
);

export const SearchedAddress = parsed(
  parseAddressStart,
  { max: 254 },
  "Start of the address, e.g. jan or jan@example; devries does not find jan.devries@.",
);

/** Marked `writeOnly`: logs, the audit log and all output leave such fields out. */
function password(least: number, description: string) {
  return parsed((text) => parsePassword(text, least), { min: least, max: 72 }, description).meta({
    writeOnly: true,
    format: "password",
  });
}

export const Password = password(
  8,
  "8 characters to 72 bytes: the person's, or 16 random characters, told once. Each mailbox gets its own.",
);

/** Longer than a mailbox's password: the sign-in page is open to the internet, and this password opens everything. */
export const OperatorPassword = password(12, "The operator's password: 12 characters to 72 bytes of UTF-8.");

export const QuotaMb = z
  .int({
    error: ({ input }) =>
      input === undefined ? undefined : "this must be a whole number of MiB, such as 2048 for 2 GiB.",
  })
  .min(MIN_QUOTA_MB)
  .max(MAX_QUOTA_MB)
  .describe("Mailbox size limit in MiB.");

export const defaultQuotaMb = DEFAULT_QUOTA_MB;

export const NodeName = z
  .string()
  .regex(
    /^[a-z0-9][a-z0-9-]{0,62}$/,
    "A node name has 1 to 63 lower-case letters, digits or hyphens, and does not begin with a hyphen.",
  )
  .describe("Short name of the node, e.g. pi-amsterdam.");

export const Network = parsed(
  parseNetwork,
  { max: 43 },
  "IP address or CIDR range the node polls from, e.g. 192.0.2.7 or 192.0.2.0/24.",
);
