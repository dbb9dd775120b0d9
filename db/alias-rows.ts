import type { TargetStanding } from "./schema.ts";

/** An alias with its targets. The address of a catch-all has no local part: @example.nl. */
export interface Alias {
  id: number;
  address: string;
  localPart: string;
  domain: string;
  sendAs: boolean;
  targets: Target[];
}

export interface Target {
  email: string;
  localPart: string;
  domain: string;
  standing: TargetStanding;
}
