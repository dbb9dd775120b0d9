import { spf } from "mailauth/lib/spf/index.js";
import type { Lookups } from "./lookups.ts";

/** Results of RFC 7208, section 2.6. */
export type SpfResult = "none" | "neutral" | "pass" | "fail" | "softfail" | "temperror" | "permerror";

/** SPF's result for mail from postmaster@DOMAIN, sent from this address. */
export async function evaluateSpf(lookups: Lookups, domain: string, address: string): Promise<SpfResult> {
  const { status } = await spf({
    sender: `postmaster@${domain}`,
    ip: address,
    helo: domain,
    mta: domain,
    resolver: (name, type) => lookups.askOne(name, type) as Promise<string[]>,
  });
  return status.result as SpfResult;
}
