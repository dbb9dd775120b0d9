import { existsSync } from "node:fs";
import { homedir } from "node:os";
import { dirname, join } from "node:path";
import * as z from "zod";
import { isPostgresql } from "../../db/location.ts";
import { grantedScopes, NODES_OR_DOMAINS } from "../../tools/call/access.ts";
import type { Scope } from "../../tools/call/principal.ts";
import { environmentName } from "../command-line/flags.ts";
import { UsageError } from "../command-line/usage-error.ts";
import { LOOPBACK_HOSTS } from "../mail/network.ts";
import {
  type SettingName,
  type SettingNameOf,
  type SettingValues,
  settings,
  settingsOf,
} from "./settings.ts";

/** The settings of every command on the database. A command without the flag reads the variable. */
const databaseSettings = [
  "db",
  "db-password-file",
  "public-url",
  "name-server",
  "hash-cost",
  "log-format",
  "log-level",
] as const;

export type StoreConfig = SettingValues<(typeof databaseSettings)[number]>;
export type ServeConfig = SettingValues<SettingNameOf<"serve">> & { folder: string };

/** The settings of stdio, with the client's limits. */
export interface StdioConfig extends Omit<SettingValues<SettingNameOf<"stdio">>, "scopes" | "domains"> {
  scopes: ReadonlySet<Scope>;
  /** undefined for all domains. */
  domains: ReadonlySet<string> | undefined;
}

type Values = Partial<Record<string, unknown>>;

/** @throws UsageError */
export function storeConfig(values: Values, environment: NodeJS.ProcessEnv): StoreConfig {
  return validated(databaseSettings, values, environment);
}

/** @throws UsageError */
export function stdioConfig(values: Values, environment: NodeJS.ProcessEnv): StdioConfig {
  // An empty variable counts as given here: a host that leaves it empty must not open everything.
  const limits = definedOnly({
    scopes: environment[environmentName("scopes")],
    domains: environment[environmentName("domains")],
  });
  const config = validated(namesOf("stdio"), { ...limits, ...definedOnly(values) }, environment);
  const { scopes: wanted, domains } = config;
  if (domains !== undefined && wanted?.includes("nodes")) {
    throw new UsageError(`--scopes: ${NODES_OR_DOMAINS} Leave out nodes, or --domains.`);
  }
  return {
    ...config,
    scopes: new Set(grantedScopes(wanted, domains !== undefined)),
    domains: domains && new Set(domains),
  };
}

/** @throws UsageError */
export function serveConfig(values: Values, environment: NodeJS.ProcessEnv): ServeConfig {
  const config = validated(namesOf("serve"), values, environment);
  if ((config["tls-cert"] === undefined) !== (config["tls-key"] === undefined)) {
    throw new UsageError("--tls-cert and --tls-key go together");
  }
  if (config.oauth && !isIssuer(config["public-url"])) {
    throw new UsageError(
      "--oauth needs --public-url https://NAME, without a path (http only on this machine)",
    );
  }
  return { ...config, folder: config.folder ?? folderOf(config.db, environment) };
}

function folderOf(database: string, environment: NodeJS.ProcessEnv): string {
  return dirname(isPostgresql(database) ? defaultDatabase(environment) : database);
}

function namesOf<User extends "serve" | "stdio">(user: User): Array<SettingNameOf<User>> {
  return Object.keys(settingsOf(user)) as Array<SettingNameOf<User>>;
}

/** True for an origin without a path: some clients look for the authorization server only at the root. */
function isIssuer(publicUrl: string | undefined): boolean {
  if (publicUrl === undefined) return false;
  const { protocol, hostname, pathname, search, hash } = new URL(publicUrl);
  const isSafe = protocol === "https:" || LOOPBACK_HOSTS.has(hostname);
  return isSafe && pathname === "/" && search === "" && hash === "";
}

/** Reads settings: a flag wins over its variable, and an empty variable counts as none. */
function validated<Name extends SettingName>(
  names: readonly Name[],
  values: Values,
  environment: NodeJS.ProcessEnv,
): SettingValues<Name> {
  const defaults = { ...settings, db: { default: defaultDatabase(environment) } };
  const given = names.map((name) => {
    const usual = "default" in defaults[name] ? defaults[name].default : undefined;
    return [name, values[name] ?? (environment[environmentName(name)] || usual)];
  });
  const schema = z.object(Object.fromEntries(names.map((name) => [name, settings[name].schema])));
  const result = schema.safeParse(Object.fromEntries(given));
  if (result.success) return result.data as SettingValues<Name>;
  const [issue] = result.error.issues;
  throw new UsageError(`--${String(issue?.path[0])} ${issue?.message}`);
}

function definedOnly(values: Values): Values {
  return Object.fromEntries(Object.entries(values).filter(([, value]) => value !== undefined));
}

/** The packaged server's database if its folder exists, else a file in the user's own folder. */
export function defaultDatabase(environment: NodeJS.ProcessEnv): string {
  const packaged = "/var/lib/m25-mail";
  if (existsSync(packaged)) return join(packaged, "m25-mail.db");
  return join(environment.XDG_DATA_HOME || join(homedir(), ".local", "share"), "m25-mail", "m25-mail.db");
}
