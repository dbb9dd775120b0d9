import type { Domain } from "../../db/domains/domains.ts";
import type { Tables } from "../../db/store.ts";

/**
 * The registered domain of this name; for a domain alias, the domain that it is of.
 *
 * @throws MailError domain_not_found
 */
export async function owningDomain({ domains, domainAliases }: Tables, name: string): Promise<Domain> {
  const of = (await domainAliases.named([name])).get(name);
  return await domains.get(of !== undefined && domains.covers(of) ? of : name);
}
