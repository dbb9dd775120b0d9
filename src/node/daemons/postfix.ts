import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { absent } from "../../machine/faults.ts";
import { type Machine, runQuietly } from "../../machine/machine.ts";
import type { NodeRole } from "../../sync/records.ts";
import { HOST_NAME } from "../../sync/report.ts";
import { explain, reasonOf } from "../faults.ts";

/** The paths of Postfix's commands, and the folder of the main.cf in use; undefined for Postfix's own. */
export interface Postfix {
  postmap: string;
  postconf: string;
  configuration: string | undefined;
}

/** How main.cf handles mail for the applied state: postconf(5), ADDRESS_CLASS_README. */
export interface MainCfFindings {
  /** Domains that main.cf delivers in another way, with the setting that names each. */
  elsewhere: string[];
  /** Settings that do not find added keys. */
  unused: string[];
  /** Removed keys that are still found, or cannot be looked up. */
  wrong: string[];
}

/** Keys to look up. */
export interface Keys {
  domains: { added: readonly string[]; removed: readonly string[] };
  users: { added: readonly string[]; removed: readonly string[] };
  aliases: { added: readonly string[]; removed: readonly string[] };
}

/** The settings of a node's role, and the ones that come before: a domain belongs to the first class that names it. */
const classes: Readonly<
  Record<NodeRole, { domains: string; addresses: string; aliases: string; earlier: readonly string[] }>
> = {
  mail: {
    domains: "virtual_mailbox_domains",
    addresses: "virtual_mailbox_maps",
    aliases: "virtual_alias_maps",
    earlier: ["mydestination", "virtual_alias_domains"],
  },
  mx: {
    domains: "relay_domains",
    addresses: "relay_recipient_maps",
    aliases: "relay_recipient_maps",
    earlier: ["mydestination", "virtual_alias_domains", "virtual_mailbox_domains"],
  },
};

/** Prefix that makes an address or a domain one that nobody has. */
const NOBODY = "m25-mail-nobody-";

/**
 * Looks keys up with main.cf's settings. Those of the node's role must find added keys, no earlier setting may name them,
 * and none may find removed keys. Plain names in main.cf are compared with all domains.
 *
 * @param hosted returns the names that are domains of this node
 */
export async function lookUpInPostfix(
  machine: Machine,
  postfix: Postfix,
  role: NodeRole,
  { keys, hosted }: { keys: Keys; hosted: (names: readonly string[]) => Promise<string[]> },
): Promise<MainCfFindings> {
  const { domains, addresses, aliases, earlier } = classes[role];
  const settings = await readSettings(machine, postfix, [...earlier, domains, addresses, aliases]);
  if (typeof settings === "string") return { elsewhere: [], unused: [settings], wrong: [] };
  const find = async (setting: string, key: string): Promise<boolean | string> => {
    const [tables, names] = split(settings.get(setting) ?? []);
    if (names.includes(key)) return true;
    const found = await Promise.all(tables.map((table) => isFound(machine, postfix, key, table)));
    return found.includes(true) || (found.find((one) => typeof one === "string") ?? false);
  };

  const elsewhere: string[] = [];
  for (const setting of earlier) {
    const [, names] = split(settings.get(setting) ?? []);
    const named = new Set(await hosted(names));
    for (const domain of keys.domains.added) if ((await find(setting, domain)) === true) named.add(domain);
    for (const domain of named) elsewhere.push(`${domain} is in ${setting}`);
  }
  const unused: string[] = [];
  const wrong: string[] = [];
  for (const [setting, { added, removed }] of [
    [domains, keys.domains],
    [addresses, keys.users],
    [aliases, keys.aliases],
  ] as const) {
    for (const key of added) {
      const found = await find(setting, key);
      if (found !== true)
        unused.push(`Postfix does not find ${key} by ${setting}${found === false ? "" : `: ${found}`}`);
    }
    for (const key of removed) {
      const found = await find(setting, key);
      if (found === false) continue;
      // A table that finds everything proves nothing about one key.
      if (found === true && (await find(setting, `${NOBODY}${key}`)) === true) continue;
      wrong.push(`Postfix ${found === true ? "still finds" : "cannot look up"} ${key} by ${setting}`);
    }
  }
  return { elsewhere, unused, wrong };
}

/**
 * Lets Postfix's processes end as they become idle, so that new ones open the present tables: SIGHUP in master(8). `postfix reload`
 * also has the queue checked, to which the node's service has no right. If Postfix does not run, it will open them at its start.
 */
export async function reloadPostfix(machine: Machine, postfix: Postfix): Promise<void> {
  try {
    const id = await masterOf(await settingOf(machine, postfix, "queue_directory"));
    if (id !== undefined) process.kill(id, "SIGHUP");
  } catch (error) {
    machine.log(
      `warning: Postfix may still read the files that were replaced: ${explain(error)}. Run: postfix reload`,
    );
  }
}

/** The id of the master process; undefined if it does not run. */
async function masterOf(queue: string): Promise<number | undefined> {
  const written = await readFile(join(queue, "pid/master.pid"), "utf8").catch(absent);
  const id = written?.trim();
  if (id === undefined || !/^\d+$/.test(id)) return undefined;
  // The file stays when Postfix ends, and another process may have got its number.
  const name = await readFile(`/proc/${id}/comm`, "utf8").catch(absent);
  return name === "master\n" ? Number(id) : undefined;
}

/** Postfix's myhostname in lower case; undefined if it is no full host name. */
export async function hostOf(machine: Machine, postfix: Postfix | undefined): Promise<string | undefined> {
  if (postfix === undefined) return undefined;
  const name = (await settingOf(machine, postfix, "myhostname")).toLowerCase();
  return HOST_NAME.test(name) ? name : undefined;
}

async function settingOf(
  machine: Machine,
  { postconf, configuration }: Postfix,
  name: string,
): Promise<string> {
  const { stdout } = await runQuietly(machine, [postconf, ...folderOf(configuration), "-xh", name]);
  return stdout.trim();
}

function folderOf(configuration: string | undefined): string[] {
  return configuration === undefined ? [] : ["-c", configuration];
}

/** @returns the entries of each setting, or why they cannot be read */
async function readSettings(
  machine: Machine,
  { postconf, configuration }: Postfix,
  names: readonly string[],
): Promise<Map<string, string[]> | string> {
  const command = [postconf, ...folderOf(configuration), "-x", ...names];
  const result = await runQuietly(machine, command);
  if (result.code !== 0)
    return `the configuration of Postfix cannot be read: ${reasonOf("postconf", result)}`;
  const settings = new Map<string, string[]>();
  for (const line of result.stdout.split("\n")) {
    const [, name, value = ""] = /^(\w+) =(.*)$/.exec(line) ?? [];
    if (name === undefined) continue;
    const pieces = await Promise.all(entries(value).map(included));
    settings.set(name, pieces.flat());
  }
  return settings;
}

/** Replaces an entry that is a path with the entries in that file, or with none if it cannot be read. */
async function included(entry: string): Promise<string[]> {
  if (!entry.startsWith("/")) return [entry];
  const text = await readFile(entry, "utf8").catch(() => "");
  return entries(text.replaceAll(/^\s*#.*$/gm, ""));
}

/** Splits at white space and commas, but not inside a table's braces (inline:, regexp:). */
function entries(value: string): string[] {
  return value.match(/[^\s,{}]*\{(?:[^{}]|\{[^{}]*\})*\}|[^\s,]+/g) ?? [];
}

/** @returns the entries that are tables, and the plain names in lower case; address literals and negations are neither */
function split(list: readonly string[]): [tables: string[], names: string[]] {
  const tables = list.filter((entry) => /^[a-z_]+:./.test(entry));
  const names = list.filter((entry) => /^[a-z0-9][a-z0-9.-]*$/i.test(entry));
  return [tables, names.map((name) => name.toLowerCase())];
}

/** @returns a text if the table cannot be read, with the reason */
async function isFound(
  machine: Machine,
  { postmap, configuration }: Postfix,
  key: string,
  table: string,
): Promise<boolean | string> {
  // Do not ask proxymap, which answers only while Postfix runs.
  const direct = table.replace(/^proxy:/, "");
  const result = await runQuietly(machine, [postmap, ...folderOf(configuration), "-q", key, direct]);
  if (result.code === 0) return true;
  return result.code === 1 && result.stderr === "" ? false : reasonOf("postmap", result);
}
