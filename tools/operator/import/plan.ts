import * as z from "zod";
import type { Tables } from "../../../db/store.ts";
import type { NewUser } from "../../../db/users/users.ts";
import type { Address } from "../../../src/mail/address.ts";
import { MailError } from "../../../src/mail/error.ts";
import { MAX_QUOTA_MB } from "../../../src/mail/quota.ts";
import { DomainName, QuotaMb } from "../../../src/mail/schemas.ts";
import { isStoredHash, NO_LOGIN, weakScheme } from "../../../src/mail/stored-hash.ts";
import { field, text } from "../../../src/mail/text.ts";
import { loginState } from "../../call/login.ts";
import {
  type AliasInput,
  aliasFields,
  type PlannedAlias,
  type PlannedDomainAlias,
  planAliases,
  planDomainAliases,
} from "./aliases.ts";
import { addressOf, isPublic, leftOut, type Planned, PUBLIC, REGISTERED, withoutDomain } from "./outcome.ts";

/** Mailboxes that a refusal names. */
const MOST_NAMED = 5;

/** A mailbox of another mail system. */
export const ImportedMailbox = z.strictObject({
  /** Parsed with the input, before the transaction: that takes a third of the time. Undefined if it is not valid. */
  address: z.string().transform((address) => addressOf(address)),
  /** Its place, such as "users, line 7": shown if its address is not valid. */
  place: z.string(),
  password: z.union([
    z.strictObject({ hash: z.string().refine(isStoredHash) }),
    z.strictObject({ problem: z.string() }),
  ]),
  quota_mb: z.int().min(1).nullable().describe("null for no limit."),
  active: z.boolean(),
});

const ImportedDomain = z.strictObject({
  name: DomainName,
  problem: z.string().optional().describe("Why it is left out."),
});

export const importFields = {
  ...aliasFields,
  from: z.string().describe("The system that the mailboxes come from."),
  files: z.array(z.string()).describe("The names of its files."),
  mailbox_count: z.int().describe("For the audit log, which has none of the mailboxes."),
  unlimited_as: QuotaMb.optional().describe("For mailboxes that have no limit there."),
  domains: z.array(ImportedDomain),
  mailboxes_with_passwords: z.array(ImportedMailbox).meta({ writeOnly: true }),
};

/** A mailbox as the input has it. */
export type ImportedMailbox = z.input<typeof ImportedMailbox>;
type ParsedMailbox = z.output<typeof ImportedMailbox>;
export type ImportedDomain = z.infer<typeof ImportedDomain>;

export interface ImportInput extends Partial<AliasInput> {
  unlimited_as?: number | undefined;
  domains: readonly ImportedDomain[];
  mailboxes_with_passwords: readonly ParsedMailbox[];
}

/** A planned mailbox; `user` is absent if it is left out. */
interface PlannedMailbox extends Planned {
  user?: NewUser;
}

export interface ImportPlan {
  domains: Planned[];
  /** In the order of the input. */
  mailboxes: PlannedMailbox[];
  domainAliases: PlannedDomainAlias[];
  /** In the order of the input. */
  aliases: PlannedAlias[];
}

/**
 * Plans an import, address by address. It changes nothing.
 *
 * @throws MailError invalid_input if some mailboxes have no limit and `unlimited_as` is missing
 */
export async function planImport(tables: Tables, input: ImportInput): Promise<ImportPlan> {
  const domains = await planDomains(tables, input);
  const served = await withoutRefusedHashes(tables, input.mailboxes_with_passwords);
  const planned = planMailboxes({ ...input, mailboxes_with_passwords: served }, domains);
  const mailboxes = await leaveOutExisting(tables, planned);
  const unlimited = mailboxes.filter(
    ({ user }, at) => user && input.mailboxes_with_passwords[at]?.quota_mb === null,
  );
  if (unlimited.length > 0 && input.unlimited_as === undefined) throw withoutLimit(unlimited);
  const domainAliases = await planDomainAliases(tables, input.domain_aliases ?? [], domains);
  const users = mailboxes.flatMap(({ user }) => user ?? []);
  const aliases = await planAliases(tables, input, { domains, domainAliases, users });
  return { domains: [...domains.values()], mailboxes, domainAliases, aliases };
}

/** Turns the hashes that some node's Dovecot may refuse into problems: they are served only where each node has Dovecot 2.3. */
export async function withoutRefusedHashes<Mailbox extends { password?: ParsedMailbox["password"] }>(
  { nodes }: Tables,
  mailboxes: readonly Mailbox[],
): Promise<readonly Mailbox[]> {
  const weak = ({ password }: Mailbox) =>
    password !== undefined && "hash" in password ? weakScheme(password.hash) : undefined;
  if (!mailboxes.some(weak) || (await nodes.allHaveDovecot23())) return mailboxes;
  return mailboxes.map((mailbox) => {
    const scheme = weak(mailbox);
    if (scheme === undefined) return mailbox;
    const problem = `Dovecot 2.4 refuses ${scheme} as too weak, and not every mailbox node has reported Dovecot 2.3`;
    return { ...mailbox, password: { problem } };
  });
}

function withoutLimit(mailboxes: readonly Planned[]): MailError {
  const names = mailboxes.slice(0, MOST_NAMED).map(({ name }) => name);
  const others = mailboxes.length - names.length;
  return new MailError(
    "invalid_input",
    `Each mailbox needs a size limit here, and these have none: ${names.join(", ")}${others > 0 ? `, and ${others} more` : ""}.`,
    text`Nothing was changed. Give their limit in MiB with ${field("unlimited_as")}.`,
  );
}

/** The domains of the source and of its mailboxes, by name. Registered domains do not change. */
export async function planDomains(tables: Tables, input: ImportInput): Promise<Map<string, Planned>> {
  const planned = new Map<string, Planned>();
  for (const { name, problem } of input.domains) {
    planned.set(name, problem === undefined ? { name, outcome: "taken" } : leftOut(name, problem));
  }
  for (const { address } of [...input.mailboxes_with_passwords, ...(input.all_aliases ?? [])]) {
    if (address === undefined || planned.has(address.domain)) continue;
    planned.set(address.domain, { name: address.domain, outcome: "taken" });
  }
  const registered = new Set(await tables.domains.named([...planned.keys()], planned.size));
  for (const [name, { outcome }] of planned) {
    if (outcome === "left_out") continue;
    if (registered.has(name)) planned.set(name, leftOut(name, REGISTERED));
    else if (await isPublic(name)) planned.set(name, leftOut(name, PUBLIC));
  }
  return planned;
}

export function planMailboxes(
  { mailboxes_with_passwords: mailboxes, unlimited_as }: ImportInput,
  domains: ReadonlyMap<string, Planned>,
): PlannedMailbox[] {
  const seen = new Set<string>();
  const planned: PlannedMailbox[] = [];
  for (const mailbox of mailboxes) {
    const { address } = mailbox;
    if (address === undefined) {
      planned.push(leftOut(mailbox.place, "its address is not valid here"));
      continue;
    }
    const without = withoutDomain(domains.get(address.domain));
    if (without !== undefined) planned.push(leftOut(address.email, without));
    else if (seen.has(address.email)) planned.push(leftOut(address.email, "it occurs twice"));
    else planned.push(planMailbox(address, mailbox, unlimited_as));
    seen.add(address.email);
  }
  return planned;
}

function planMailbox(
  { email, domain, localPart }: Address,
  { password, quota_mb, active }: ParsedMailbox,
  unlimitedAs = 1,
): PlannedMailbox {
  if (quota_mb !== null && quota_mb > MAX_QUOTA_MB)
    return leftOut(email, `its limit is above ${MAX_QUOTA_MB} MiB`);
  const reasons = [
    ...("problem" in password ? [password.problem] : []),
    ...(active
      ? []
      : [`it is inactive there: soft-deleted here, m25-mail user restore ${email} brings it back`]),
  ];
  return {
    name: email,
    outcome: "problem" in password ? "new_password" : "taken",
    ...(reasons.length > 0 && { reason: reasons.join("; ") }),
    user: {
      localPart,
      domain,
      passwordHash: "hash" in password ? password.hash : NO_LOGIN,
      quotaMb: quota_mb ?? unlimitedAs,
      active,
    },
  };
}

async function leaveOutExisting(
  tables: Tables,
  planned: readonly PlannedMailbox[],
): Promise<PlannedMailbox[]> {
  const users = planned.map(({ user }) => user).filter((user) => user !== undefined);
  const existing = await tables.users.existing(users);
  return planned.map((mailbox): PlannedMailbox => {
    const { name, user } = mailbox;
    const former = user && existing.get(name);
    if (former === undefined) return mailbox;
    return loginState(former) === "no_password"
      ? { name, outcome: "new_password", reason: "it exists already, and has no password yet" }
      : leftOut(name, "it exists already, and does not change");
  });
}
