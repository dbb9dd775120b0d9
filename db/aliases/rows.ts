import type { Address } from "../../src/mail/address.ts";
import type { TargetStanding } from "../schema.ts";

/** An alias with its targets. The address of a catch-all has no local part: @example.nl. */
export interface Alias {
  id: number;
  address: string;
  localPart: string;
  domain: string;
  sendAs: boolean;
  targets: Target[];
  /** How many of the caller's addresses it leads to, alive or not: the cost of resolving it. */
  reach: number;
}

/** The parts of a mailbox's, an alias's or an outside address. */
export type AddressParts = Pick<Address, "email" | "localPart" | "domain">;

export interface Target extends AddressParts {
  standing: TargetStanding;
}
