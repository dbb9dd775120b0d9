import * as z from "zod";
import type { Alias, NewAlias, Target } from "../../../db/aliases/rows.ts";
import type { Tables } from "../../../db/store.ts";
import type { NewUser } from "../../../db/users/users.ts";
import { type Address, parseAliasAddress } from "../../../src/mail/address.ts";
import { crowded, MOST_LEADING_TO_ALIAS } from "../../../src/mail/alias-limits.ts";
import { DomainName } from "../../../src/mail/schemas.ts";
import { addressOf, isPublic, leftOut, type Planned, PUBLIC, withoutDomain } from "./outcome.ts";

const LEADS_BACK = "it leads back to itself";

const TargetAddress = z.string().transform((target) => addressOf(target));

/** An alias of another mail system. */
const ImportedAlias = z.strictObject({
  /** Undefined if it is not valid. */
  address: z.string().transform((address) => addressOf(address, parseAliasAddress)),
  /** Its place, shown if its address is not valid. */
  place: z.string(),
  targets: z.array(TargetAddress),
  waiting_targets: z.array(TargetAddress).default([]).describe("Targets that wait for approval there."),
  send_as: z.boolean(),
  problem: z.string().optional().describe("Why it is left out."),
});
export type ImportedAlias = z.input<typeof ImportedAlias>;

const ImportedDomainAlias = z.strictObject({
  name: DomainName,
  of: DomainName,
  problem: z.string().optional().describe("Why it is left out."),
});
export type ImportedDomainAlias = z.infer<typeof ImportedDomainAlias>;

export const aliasFields = {
  approve_outside: z
    .boolean()
    .default(false)
    .describe("Approves the targets of new aliases that are elsewhere."),
  domain_aliases: z.array(ImportedDomainAlias).default([]),
  alias_count: z.int().default(0).describe("For the audit log, which has none of the aliases."),
  /** As secret as passwords: a file may have them in the wrong column. */
  all_aliases: z.array(ImportedAlias).default([]).meta({ writeOnly: true }),
};

export interface AliasInput {
  approve_outside: boolean;
  domain_aliases: readonly ImportedDomainAlias[];
  all_aliases: readonly z.output<typeof ImportedAlias>[];
}

export interface PlannedDomainAlias extends Planned {
  of: string;
}

/** A planned alias; `alias` is absent if it is left out. */
export interface PlannedAlias extends Planned {
  alias?: NewAlias;
  /** True if it has these targets already: it is not judged anew. */
  isStored?: true;
  /** Targets elsewhere that will wait for approval. */
  waiting?: number;
  /** Targets here that do not exist. */
  dead?: readonly string[];
}

/** @param replaces true: those that exist may change */
export async function planDomainAliases(
  tables: Tables,
  wanted: AliasInput["domain_aliases"],
  domains: ReadonlyMap<string, Planned>,
  { replaces = false } = {},
): Promise<PlannedDomainAlias[]> {
  const names = wanted.map(({ name }) => name);
  const registered = new Set(await tables.domains.named(names, names.length));
  const existing = await tables.domainAliases.named(names);
  const seen = new Set<string>();
  const planned: PlannedDomainAlias[] = [];
  for (const { name, of, problem } of wanted) {
    const reason =
      problem ??
      (!replaces && existing.has(name) ? "it exists already, and does not change" : undefined) ??
      (registered.has(name) || domains.has(name) ? "it is a domain with addresses of its own" : undefined) ??
      (seen.has(name) ? "it occurs twice" : undefined) ??
      withoutDomain(domains.get(of)) ??
      ((await isPublic(name)) ? PUBLIC : undefined);
    planned.push({ ...(reason === undefined ? { name, outcome: "taken" } : leftOut(name, reason)), of });
    seen.add(name);
  }
  return planned;
}

/** The addresses that exist once the import is done. */
interface Present {
  domains: ReadonlyMap<string, Planned>;
  domainAliases: readonly PlannedDomainAlias[];
  users: readonly NewUser[];
  /** Domains, domain aliases and aliases that will be gone, by name. */
  gone?: ReadonlySet<string>;
}

/**
 * Plans aliases, one by one. A target in a domain here that does not exist stays: it gets mail once somebody makes it.
 *
 * @param former aliases that may change, by address; without it, those that exist stay as they are, and those that lead back to
 *   themselves are taken: a domain alias that moved can make one, and its other targets get mail
 * @throws MailError invalid_input when too many lead to one
 */
export async function planAliases(
  tables: Tables,
  { all_aliases = [], approve_outside = false }: Partial<AliasInput>,
  present: Present,
  former?: ReadonlyMap<string, Alias>,
): Promise<PlannedAlias[]> {
  const existing = await tables.manyAliases.existing(all_aliases.flatMap(({ address }) => address ?? []));
  const all = all_aliases
    .flatMap(({ targets, waiting_targets }) => [...targets, ...waiting_targets])
    .filter((target) => target !== undefined);
  const own = await ownAddresses(tables, all, present);
  const approved = new Set(await tables.aliases.approvals.domains());
  const forwarded = approve_outside
    ? new Set<string>()
    : await tables.aliases.leadingOutside(all.filter(own.isOurs));
  const standingOf = (target: Address, had: Target["standing"] = "waiting"): Target["standing"] => {
    // A person approved that forward for the target's own mail, not for this alias's.
    if (own.isOurs(target)) return had === "waiting" && forwarded.has(target.email) ? "waiting" : "own";
    return approve_outside || had === "approved" || approved.has(target.domain) ? "approved" : "waiting";
  };
  const seen = new Set<string>();
  const planned = all_aliases.map((one): PlannedAlias => {
    if (one.address === undefined) return leftOut(one.place, "its address is not valid here");
    const { email, domain } = one.address;
    const reason =
      (former === undefined && existing.has(email) ? "it exists already, and does not change" : undefined) ??
      (seen.has(email) ? "it occurs twice" : undefined) ??
      withoutDomain(present.domains.get(domain)) ??
      one.problem;
    seen.add(email);
    if (reason !== undefined) return leftOut(email, reason);
    const stored = former?.get(email);
    const isToApprove = stored?.targets.some(
      (target) => target.standing === "waiting" || (target.standing === "own" && !own.isOurs(target)),
    );
    if (stored !== undefined && isAsStored(one, stored) && !(approve_outside && isToApprove))
      return { name: email, outcome: "taken", alias: stored, isStored: true };
    const had = new Map(stored?.targets.map((target) => [target.email, target.standing]));
    return planAlias(one.address, one, (target) => standingOf(target, had.get(target.email)));
  });
  const names = new Set(planned.flatMap(({ alias }) => alias?.address ?? []));
  const others = all.some((target) => own.isOtherAlias(target, names))
    ? (await tables.manyAliases.except([...names])).filter(({ address }) => !present.gone?.has(address))
    : [];
  const circular = leadingBack(planned, others, own.canonical);
  return planned.map((one) => {
    if (former !== undefined && circular.has(one.name)) return leftOut(one.name, LEADS_BACK);
    return explained(one, circular, (target) => own.exists(target, names));
  });
}

/** Whether a file says of an alias what is stored, even if another standing would be given to a new target. */
function isAsStored(
  { address, targets, waiting_targets, send_as }: AliasInput["all_aliases"][number],
  stored: Alias,
): boolean {
  const had = new Set(stored.targets.map(({ email }) => email));
  const wanted = new Set(targets.map((target) => target?.email));
  wanted.delete(address?.email);
  return (
    waiting_targets.length === 0 &&
    stored.sendAs === send_as &&
    wanted.size === had.size &&
    [...had].every((email) => wanted.has(email))
  );
}

function planAlias(
  { email, domain, localPart }: Address,
  { targets, waiting_targets, send_as }: AliasInput["all_aliases"][number],
  standingOf: (target: Address) => Target["standing"],
): PlannedAlias {
  const judged = new Map<string, Target>();
  for (const target of waiting_targets) {
    if (target !== undefined) judged.set(target.email, { ...target, standing: "waiting" });
  }
  for (const target of targets) {
    if (target !== undefined) judged.set(target.email, { ...target, standing: standingOf(target) });
  }
  judged.delete(email);
  const unusable = [...targets, ...waiting_targets].filter((target) => target === undefined).length;
  if (judged.size === 0) {
    const isEmpty = targets.length + waiting_targets.length === 0;
    const itself = isEmpty ? "it has no targets" : "it leads to itself alone";
    return leftOut(email, unusable > 0 ? "none of its targets is an address" : itself);
  }
  const sendAs = send_as && localPart !== "";
  return {
    name: email,
    outcome: "taken",
    alias: { address: email, localPart, domain, sendAs, targets: [...judged.values()] },
    ...(unusable > 0 && { reason: unusableWords(unusable) }),
  };
}

function unusableWords(count: number): string {
  return count === 1
    ? "1 of its targets is not an address, and is left out"
    : `${count} of its targets are not addresses, and are left out`;
}

/** Adds to an alias's reason whether it leads back, which targets wait, and which do not exist. */
function explained(
  planned: PlannedAlias,
  circular: ReadonlySet<string>,
  exists: (target: Target) => boolean,
): PlannedAlias {
  const { alias, reason } = planned;
  if (alias === undefined) return planned;
  const waiting = alias.targets.filter(({ standing }) => standing === "waiting");
  const dead = alias.targets.filter((target) => target.standing === "own" && !exists(target));
  const reasons = [
    ...(reason === undefined ? [] : [reason]),
    ...(circular.has(planned.name) ? [LEADS_BACK] : []),
    ...waiting.map(({ email }) => `${email} waits for approval`),
    ...dead.map(({ email }) => `${email} does not exist`),
  ];
  return {
    ...planned,
    waiting: waiting.length,
    dead: dead.map(({ email }) => email),
    ...(reasons.length > 0 && { reason: reasons.join("; ") }),
  };
}

/**
 * The addresses of new and changed aliases that lead back to themselves.
 *
 * @param others aliases that are there and stay
 * @throws MailError invalid_input when too many lead to one: walks from each of them would take too long
 */
function leadingBack(
  planned: readonly PlannedAlias[],
  others: readonly Alias[],
  canonical: (target: Address | Target) => string,
): Set<string> {
  const all = [...planned.flatMap(({ alias }) => alias ?? []), ...others];
  const leading = new Map<string, string[]>(all.map(({ address }) => [address, []]));
  for (const { address, targets } of all) {
    for (const target of targets)
      if (target.standing !== "waiting") leading.get(canonical(target))?.push(address);
  }
  const leadsBack = (start: string): boolean => {
    const seen = new Set<string>();
    const open = [...(leading.get(start) ?? [])];
    for (let address = open.pop(); address !== undefined; address = open.pop()) {
      if (address === start) return true;
      if (seen.has(address)) continue;
      seen.add(address);
      if (seen.size > MOST_LEADING_TO_ALIAS) throw crowded(start, MOST_LEADING_TO_ALIAS);
      open.push(...(leading.get(address) ?? []));
    }
    return false;
  };
  const judged = planned.filter(({ alias, isStored }) => alias !== undefined && isStored !== true);
  return new Set(judged.map(({ name }) => name).filter(leadsBack));
}

/** Knows which addresses are here, or will be. */
async function ownAddresses(
  tables: Tables,
  targets: readonly Address[],
  { domains, domainAliases, users, gone }: Present,
) {
  const names = [...new Set(targets.map(({ domain }) => domain))];
  const isStaying = (name: string) => !(gone?.has(name) ?? false);
  const registered = new Set((await tables.domains.named(names, names.length)).filter(isStaying));
  const presentAliases = await tables.domainAliases.page(Number.MAX_SAFE_INTEGER, undefined);
  const aliasesOf = new Map(
    presentAliases.filter(({ name }) => isStaying(name)).map(({ name, of }) => [name, of]),
  );
  for (const { name, of, outcome } of domainAliases) if (outcome === "taken") aliasesOf.set(name, of);
  const isDomain = (name: string) =>
    registered.has(name) || (domains.has(name) && withoutDomain(domains.get(name)) === undefined);
  const moved = ({ domain, localPart, email }: Address | Target): Address => {
    const of = aliasesOf.get(domain);
    return of === undefined
      ? { domain, localPart, email }
      : { domain: of, localPart, email: `${localPart}@${of}` };
  };
  const mailboxes = await tables.users.existing(targets.map(moved));
  const aliases = new Set([...(await tables.manyAliases.existing(targets.map(moved)))].filter(isStaying));
  const added = new Set(users.map(({ localPart, domain }) => `${localPart}@${domain}`));
  const canonical = (target: Address | Target) => moved(target).email;
  return {
    canonical,
    isOurs: ({ domain }: Address) => isDomain(domain) || aliasesOf.has(domain),
    isOtherAlias: (target: Address, planned: ReadonlySet<string>) => {
      const email = canonical(target);
      return aliases.has(email) && !planned.has(email);
    },
    exists: (target: Target, planned: ReadonlySet<string>) => {
      const email = canonical(target);
      return mailboxes.has(email) || aliases.has(email) || added.has(email) || planned.has(email);
    },
  };
}
