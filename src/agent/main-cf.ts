import { join } from "node:path";
import type { NodeRole } from "../sync/records.ts";
import { onOneLine } from "./faults.ts";
import type { Host } from "./host.ts";
import { configurationFolder, runQuietly } from "./postmap.ts";

/** Postfix's commands, and the folder of the main.cf that is in service; undefined for Postfix's own. */
export interface PostfixCommands {
  postmap: string;
  postconf: string;
  configuration: string | undefined;
}

/** The maps in `out`, and the Postfix that shall serve them. */
export interface ServedMaps {
  out: string;
  postfix: PostfixCommands;
  role: NodeRole;
}

/** What main.cf makes of the mail for what was applied: postconf(5), ADDRESS_CLASS_README. */
export interface MainCfFindings {
  /** Domains that main.cf delivers in another way, with the setting that names each. */
  elsewhere: string[];
  /** Settings that do not lead to the node's maps. */
  unused: string[];
}

/** A domain is of the first class that names it; the settings that come before those of a node's role. */
const classes: Readonly<
  Record<NodeRole, { domains: string; addresses: string; earlier: readonly string[] }>
> = {
  mail: {
    domains: "virtual_mailbox_domains",
    addresses: "virtual_mailbox_maps",
    earlier: ["mydestination", "virtual_alias_domains"],
  },
  mx: {
    domains: "relay_domains",
    addresses: "relay_recipient_maps",
    earlier: ["mydestination", "virtual_alias_domains", "virtual_mailbox_domains"],
  },
};

/**
 * Compares main.cf with the maps of a node. A right map brings no mail where main.cf does not lead to it, or names the
 * domain in a setting that comes first. Plain names in main.cf are compared with all domains, tables with a sample.
 *
 * @param added the sample: domains and addresses that are in the maps
 */
export async function compareMainCf(
  host: Host,
  { out, postfix, role }: ServedMaps,
  added: { domains: readonly string[]; users: readonly string[] },
): Promise<MainCfFindings> {
  const { domains: domainSetting, addresses: addressSetting, earlier } = classes[role];
  const settings = await readSettings(host, postfix, [...earlier, domainSetting, addressSetting]);
  if (typeof settings === "string") return { elsewhere: [], unused: [settings] };
  const entriesOf = (setting: string): readonly string[] => settings.get(setting) ?? [];

  const ours = join(out, "domains");
  const own = { ...postfix, configuration: await configurationFolder(host, out) };
  const elsewhere: string[] = [];
  for (const setting of earlier) {
    const [tables, names] = split(entriesOf(setting));
    const named = await keep(names, (name) => isFound(host, own, name, `lmdb:${ours}`));
    const looked = await keep(added.domains, (domain) => isInSome(host, postfix, domain, tables));
    for (const domain of new Set([...named, ...looked])) elsewhere.push(`${domain} is in ${setting}`);
  }

  const unused: string[] = [];
  const demand = async (setting: string, map: string, keys: readonly string[]): Promise<void> => {
    const [tables, names] = split(entriesOf(setting));
    if (tables.some((table) => table.replace(/^proxy:/, "") === `lmdb:${join(out, map)}`)) return;
    const missing = await keep(
      keys,
      async (key) => !names.includes(key) && !(await isInSome(host, postfix, key, tables)),
    );
    if (missing.length > 0) unused.push(`${setting} does not lead to lmdb:${join(out, map)}`);
  };
  await demand(domainSetting, "domains", added.domains);
  await demand(addressSetting, "mailboxes", added.users);
  return { elsewhere, unused };
}

/** @returns the entries of each setting, or why Postfix did not give them */
async function readSettings(
  host: Host,
  { postconf, configuration }: PostfixCommands,
  names: readonly string[],
): Promise<Map<string, string[]> | string> {
  const folder = configuration === undefined ? [] : ["-c", configuration];
  const { code, stdout, stderr } = await runQuietly(host, postconf, [...folder, "-x", ...names]);
  if (code !== 0) {
    return `Postfix has no configuration that can be read: ${onOneLine(stderr) || `postconf ended with ${code ?? "a signal"}`}`;
  }
  const settings = new Map<string, string[]>();
  for (const line of stdout.split("\n")) {
    const [, name, value = ""] = /^(\w+) =(.*)$/.exec(line) ?? [];
    if (name === undefined) continue;
    const pieces = await Promise.all(entries(value).map((entry) => included(host, entry)));
    settings.set(name, pieces.flat());
  }
  return settings;
}

/** An entry that is a path stands for the entries in that file. One that cannot be read names nothing. */
async function included({ files }: Host, entry: string): Promise<string[]> {
  if (!entry.startsWith("/")) return [entry];
  const text = await files.read(entry).catch(() => undefined);
  return entries((text ?? "").replaceAll(/^\s*#.*$/gm, ""));
}

/** Entries are parted by white space and commas, but not inside of the braces of a table (inline:, regexp:). */
function entries(value: string): string[] {
  return value.match(/[^\s,{}]*\{(?:[^{}]|\{[^{}]*\})*\}|[^\s,]+/g) ?? [];
}

/** @returns the tables among the entries, and the plain names in lower case; address literals and negations are neither */
function split(list: readonly string[]): [tables: string[], names: string[]] {
  const tables = list.filter((entry) => /^[a-z_]+:./.test(entry));
  const names = list.filter((entry) => /^[a-z0-9][a-z0-9.-]*$/i.test(entry));
  return [tables, names.map((name) => name.toLowerCase())];
}

async function keep(keys: readonly string[], test: (key: string) => Promise<boolean>): Promise<string[]> {
  const kept = await Promise.all(keys.map(test));
  return keys.filter((_, index) => kept[index]);
}

async function isInSome(
  host: Host,
  postfix: PostfixCommands,
  key: string,
  tables: readonly string[],
): Promise<boolean> {
  const found = await Promise.all(tables.map((table) => isFound(host, postfix, key, table)));
  return found.includes(true);
}

/** A table that cannot be asked names nothing. */
async function isFound(
  host: Host,
  { postmap, configuration }: PostfixCommands,
  key: string,
  table: string,
): Promise<boolean> {
  const folder = configuration === undefined ? [] : ["-c", configuration];
  return (await runQuietly(host, postmap, [...folder, "-q", key, table])).code === 0;
}
