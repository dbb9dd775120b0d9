import type { DomainAlias } from "../../../db/aliases/domain-aliases.ts";
import type { Alias, NewAlias } from "../../../db/aliases/rows.ts";
import type { Tables } from "../../../db/store.ts";
import {
  type AliasInput,
  type PlannedAlias,
  type PlannedDomainAlias,
  planAliases,
  planDomainAliases,
} from "../import/aliases.ts";
import { refused, type Step } from "./step.ts";

export interface DomainAliasStep extends Step {
  set?: DomainAlias;
  removed?: true;
}

/** A planned alias, with what is to be written. */
export interface AliasStep extends Step {
  added?: NewAlias;
  changed?: NewAlias;
  removed?: Alias;
  /** Targets elsewhere that will wait for approval. */
  waiting?: number;
}

export type Present = Omit<Parameters<typeof planAliases>[2], "domainAliases">;

/** Aliases and domain aliases that the input lacks. */
export async function unnamedAliases(tables: Tables, { all_aliases, domain_aliases }: AliasInput) {
  const names = new Set(domain_aliases.map(({ name }) => name));
  const domainAliases = await tables.domainAliases.page(Number.MAX_SAFE_INTEGER, undefined);
  return {
    aliases: await tables.manyAliases.except(all_aliases.flatMap(({ address }) => address?.email ?? [])),
    domainAliases: domainAliases.filter(({ name }) => !names.has(name)),
  };
}

/** Plans how to reach the wanted aliases and domain aliases. It changes nothing. */
export async function planAliasSteps(tables: Tables, input: AliasInput, present: Present) {
  const { all_aliases, domain_aliases } = input;
  const planned = await planDomainAliases(tables, domain_aliases, present.domains, { replaces: true });
  const existing = await tables.domainAliases.named(domain_aliases.map(({ name }) => name));
  const former = await tables.manyAliases.named(all_aliases.flatMap(({ address }) => address ?? []));
  const aliases = await planAliases(tables, input, { ...present, domainAliases: planned }, former);
  return {
    domainAliases: planned.map((one) => domainAliasStep(one, existing.get(one.name))),
    aliases: aliases.map((one, at) => aliasStep(one, all_aliases[at], former.get(one.name))),
  };
}

function domainAliasStep(
  { name, outcome, reason, of }: PlannedDomainAlias,
  former: string | undefined,
): DomainAliasStep {
  if (outcome !== "taken") return refused(name, reason);
  if (former === undefined) return { name, outcome: "added", reason: `of ${of}`, set: { name, of } };
  if (former === of) return { name, outcome: "unchanged" };
  return { name, outcome: "changed", reason: `of ${of}, before of ${former}`, set: { name, of } };
}

function aliasStep(
  { name, reason, alias, dead = [], waiting = 0 }: PlannedAlias,
  wanted: AliasInput["all_aliases"][number] | undefined,
  former: Alias | undefined,
): AliasStep {
  if (alias === undefined || wanted === undefined) return refused(name, reason);
  const had = new Set(former?.targets.map(({ email }) => email));
  const missing = dead.filter((email) => !had.has(email));
  if (wanted.targets.includes(undefined)) return refused(name, "not each of its targets is an address");
  if (wanted.send_as && alias.localPart === "")
    return refused(name, "a catch-all gives nobody the right to send");
  if (missing.length > 0) return refused(name, `${missing.join(", ")} does not exist`);
  if (former === undefined)
    return { name, outcome: "added", ...(reason !== undefined && { reason }), added: alias, waiting };
  const reasons = differences(former, alias);
  if (reasons.length === 0) return { name, outcome: "unchanged" };
  return { name, outcome: "changed", reason: reasons.join(", "), changed: alias, waiting };
}

function differences(former: Alias, { targets, sendAs }: NewAlias): string[] {
  const before = new Map(former.targets.map(({ email, standing }) => [email, standing]));
  const after = new Map(targets.map(({ email, standing }) => [email, standing]));
  const waits = (email: string) => (after.get(email) === "waiting" ? ", which waits for approval" : "");
  return [
    ...[...after.keys()].filter((email) => !before.has(email)).map((email) => `to ${email}${waits(email)}`),
    ...[...before.keys()].filter((email) => !after.has(email)).map((email) => `no longer to ${email}`),
    ...[...after]
      .filter(([email, standing]) => before.has(email) && before.get(email) !== standing)
      .map(([email, standing]) =>
        standing === "waiting" ? `${email} waits for approval` : `${email} is approved`,
      ),
    ...(former.sendAs === sendAs ? [] : [sendAs ? "may send" : "may no longer send"]),
  ];
}

export function removedAlias(alias: Alias): AliasStep {
  return { name: alias.address, outcome: "removed", removed: alias };
}

export function removedDomainAlias({ name, of }: DomainAlias): DomainAliasStep {
  return { name, outcome: "removed", reason: `was of ${of}`, removed: true };
}
