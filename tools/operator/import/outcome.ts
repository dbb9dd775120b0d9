import { type Address, parseAddress } from "../../../src/mail/address.ts";
import { MailError } from "../../../src/mail/error.ts";
import { refusePublicProvider } from "../../add-domain.ts";

export const outcomes = ["taken", "new_password", "left_out"] as const;

/** The outcome of an import for one domain or mailbox. */
export interface Planned {
  name: string;
  outcome: (typeof outcomes)[number];
  /** Why it is not simply imported. */
  reason?: string;
}

/** This reason does not keep a domain's mailboxes out. */
export const REGISTERED = "it exists here already; new addresses in it still come";
export const PUBLIC = "it is a public mail provider's; m25-mail domain add --public-provider registers it";

/** The reason to leave out a domain's addresses; undefined for a domain that is or will be registered. */
export function withoutDomain(domain: Planned | undefined): string | undefined {
  if (domain?.outcome === "taken" || domain?.reason === REGISTERED) return undefined;
  return `because of its domain: ${domain?.reason ?? "it is not listed"}`;
}

export function leftOut(name: string, reason: string): Planned {
  return { name, outcome: "left_out", reason };
}

/** undefined if it is not valid here. */
export function addressOf(address: string, parse = parseAddress): Address | undefined {
  try {
    return parse(address);
  } catch (error) {
    if (error instanceof MailError) return undefined;
    throw error;
  }
}

export async function isPublic(domain: string): Promise<boolean> {
  try {
    await refusePublicProvider(domain);
    return false;
  } catch (error) {
    if (error instanceof MailError) return true;
    throw error;
  }
}
