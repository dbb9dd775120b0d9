import { existsSync, realpathSync } from "node:fs";
import { homedir } from "node:os";
import { join } from "node:path";
import * as z from "zod";
import { accessFields, grantedScopes, NODES_OR_DOMAINS } from "../../tools/access.ts";
import { type Scope, scopes } from "../../tools/principal.ts";
import { logLevels } from "../log/log.ts";
import { LOOPBACK_HOSTS } from "../mail/network.ts";
import { Network } from "../mail/schemas.ts";

/** A flag of the command line, which is an environment variable too: --db is M25_MAIL_DB. */
export interface Flag {
  /** Of its value; "" for a flag that is on or off. */
  placeholder: string;
  help: string;
}

export const flags = {
  db: { placeholder: "FILE", help: "the database" },
  host: { placeholder: "ADDRESS", help: "address to listen on (default 127.0.0.1)" },
  port: { placeholder: "PORT", help: "port to listen on (default 8625; 0 lets the system choose)" },
  "public-url": { placeholder: "URL", help: "by which the server is called from outside" },
  "allowed-hosts": { placeholder: "NAME,…", help: "further names by which it may be called" },
  "trusted-proxies": {
    placeholder: "CIDR,…",
    help: "proxies before the server, whose X-Forwarded-For is believed",
  },
  "read-only": { placeholder: "", help: "offer only the tools that change nothing" },
  scopes: {
    placeholder: "LIST",
    help: "what the client may do, of read, write, destroy, nodes (default all, without nodes where --domains is given)",
  },
  domains: {
    placeholder: "NAME,…",
    help: "the only domains that the client sees and changes, registered or not yet",
  },
  "tls-cert": { placeholder: "FILE", help: "serve HTTPS with this certificate (PEM, with its chain)" },
  "tls-key": { placeholder: "FILE", help: "… and this private key (PEM)" },
  "limit-requests": {
    placeholder: "N",
    help: "requests a minute of one principal, a list counting as one for each 100 rows, or of one address without a credential (default 6000)",
  },
  "limit-passwords": {
    placeholder: "N",
    help: "passwords that one principal may set a minute (default 300)",
  },
  "limit-destructive": {
    placeholder: "N",
    help: "calls a minute of one principal that cannot be taken back (default 30)",
  },
  oauth: { placeholder: "", help: "let clients sign in by OAuth 2.1; needs --public-url" },
  "oauth-clients": {
    placeholder: "URL,…",
    help: "further clients, by the addresses of their metadata documents",
  },
  "hash-cost": { placeholder: "N", help: "bcrypt cost of new passwords, 10 to 14 (default 10)" },
  "log-format": { placeholder: "FORMAT", help: "text or json (default text)" },
  "log-level": {
    placeholder: "LEVEL",
    help: "debug, info, warn or error: the least that is logged (default info)",
  },
  "audit-retention": {
    placeholder: "DAYS",
    help: "how long audit entries are kept from now on, or forever (as it is in a new database)",
  },
  "purge-inactive-after": {
    placeholder: "DAYS",
    help: "remove mailboxes for good so many days after their soft delete (default: never)",
  },
} satisfies Record<string, Flag>;

export type FlagName = keyof typeof flags;

export function environmentName(flag: string): string {
  return `M25_MAIL_${flag.toUpperCase().replaceAll("-", "_")}`;
}

function wholeNumber(least: number, most: number) {
  return z
    .string()
    .regex(/^\d{1,9}$/, "is no whole number")
    .transform(Number)
    .pipe(z.int().min(least, `is below ${least}`).max(most, `is above ${most}`));
}

/** A list with commas. */
const list = z.string().transform((text) =>
  text
    .split(",")
    .map((entry) => entry.trim())
    .filter((entry) => entry !== ""),
);

const network = z
  .string()
  .refine((text) => Network.safeParse(text).success, "takes IP addresses and CIDR ranges, such as 10.0.0.0/8")
  .pipe(Network);

const perMinute = wholeNumber(1, 999_999_999);

const StoreConfig = z.object({
  // SQLite keeps its log beside the file that a link leads to; what looks at the log must look there.
  db: z
    .string()
    .min(1, "is empty")
    .transform((path) => (existsSync(path) ? realpathSync(path) : path)),
  "hash-cost": wholeNumber(10, 14).default(10),
  "limit-destructive": perMinute.default(30),
  "read-only": z.union([z.boolean(), z.stringbool()], { error: "is neither true nor false" }).default(false),
  "log-format": z.enum(["text", "json"], { error: "is neither text nor json" }).default("text"),
  "log-level": z.enum(logLevels, { error: `is none of ${logLevels.join(", ")}` }).default("info"),
});

const Access = z.object({
  ...StoreConfig.shape,
  scopes: list.transform(as(accessFields.scopes, `takes one or more of ${scopes.join(",")}.`)).optional(),
  domains: list
    .transform(as(accessFields.domains, "takes one or more domains, such as example.nl,example.org."))
    .optional(),
});

/** Parses a list by a schema. A refusal begins with the values that the flag takes. */
function as<T>(schema: z.ZodType<T>, taken: string) {
  return (entries: string[], context: z.RefinementCtx): T => {
    const result = schema.safeParse(entries);
    if (result.success) return result.data;
    const [issue] = result.error.issues;
    const reason = issue?.code === "custom" ? ` ${issue.message}` : "";
    context.addIssue({ code: "custom", message: `${taken}${reason}` });
    return z.NEVER;
  };
}

const ServeConfig = z
  .object({
    ...StoreConfig.shape,
    host: z.string().min(1, "is empty").default("127.0.0.1"),
    port: wholeNumber(0, 65535).default(8625),
    "public-url": z.url({ protocol: /^https?$/, error: "is no http(s) URL" }).optional(),
    "allowed-hosts": list.default([]),
    "trusted-proxies": list.pipe(z.array(network)).default([]),
    "purge-inactive-after": wholeNumber(1, 36_500).optional(),
    "limit-requests": perMinute.default(6000),
    "limit-passwords": perMinute.default(300),
    "tls-cert": z.string().optional(),
    "tls-key": z.string().optional(),
    "audit-retention": z
      .union([z.literal("forever").transform(() => null), wholeNumber(1, 36_500)], {
        error: "is neither a number of days nor forever",
      })
      .optional(),
    oauth: z.union([z.boolean(), z.stringbool()], { error: "is neither true nor false" }).default(false),
    "oauth-clients": list
      .pipe(z.array(z.url({ protocol: /^https$/, error: "has an entry that is no https URL" })))
      .default([]),
  })
  .refine((config) => (config["tls-cert"] === undefined) === (config["tls-key"] === undefined), {
    path: ["tls-cert"],
    message: "and --tls-key go together",
  })
  .refine((config) => !config.oauth || isIssuer(config["public-url"]), {
    path: ["oauth"],
    message: "needs --public-url https://NAME, without a path (http only on this machine itself)",
  });

/** Some clients know no other place for the authorization server's endpoints than the root of the origin. */
function isIssuer(publicUrl: string | undefined): boolean {
  if (publicUrl === undefined) return false;
  const { protocol, hostname, pathname, search, hash } = new URL(publicUrl);
  const isSafe = protocol === "https:" || LOOPBACK_HOSTS.has(hostname);
  return isSafe && pathname === "/" && search === "" && hash === "";
}

/** The settings of stdio: those of the database, and the client's limits. */
export interface StdioConfig extends StoreConfig {
  scopes: ReadonlySet<Scope>;
  /** undefined for all of them. */
  domains: ReadonlySet<string> | undefined;
}

export type StoreConfig = z.output<typeof StoreConfig>;
export type ServeConfig = z.output<typeof ServeConfig>;

/** The command line is wrong; `message` says how, for the person who typed it. Exit code 2. */
export class UsageError extends Error {
  override readonly name = "UsageError";
}

type Values = Partial<Record<string, unknown>>;

/** @throws UsageError */
export function storeConfig(values: Values, environment: NodeJS.ProcessEnv): StoreConfig {
  return validated(StoreConfig, values, environment);
}

/** @throws UsageError */
export function stdioConfig(values: Values, environment: NodeJS.ProcessEnv): StdioConfig {
  // An empty variable counts as given here: a host that has nothing to put into it must not open everything.
  const limits = definedOnly({
    scopes: environment[environmentName("scopes")],
    domains: environment[environmentName("domains")],
  });
  const config = validated(Access, { ...limits, ...definedOnly(values) }, environment);
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
  return validated(ServeConfig, values, environment);
}

/** The flag wins over the environment, and an empty variable counts as none. */
function validated<T>(schema: z.ZodType<T>, values: Values, environment: NodeJS.ProcessEnv): T {
  const given = Object.keys(flags).map((flag) => [
    flag,
    values[flag] ?? (environment[environmentName(flag)] || undefined),
  ]);
  const result = schema.safeParse({
    db: defaultDatabase(environment),
    ...definedOnly(Object.fromEntries(given)),
  });
  if (result.success) return result.data;
  const [issue] = result.error.issues;
  throw new UsageError(`--${String(issue?.path[0])} ${issue?.message}`);
}

function definedOnly(values: Values): Values {
  return Object.fromEntries(Object.entries(values).filter(([, value]) => value !== undefined));
}

/** Where the packaged server keeps its database, or else a place of this user's own. */
function defaultDatabase(environment: NodeJS.ProcessEnv): string {
  const packaged = "/var/lib/m25-mail";
  if (existsSync(packaged)) return join(packaged, "m25-mail.db");
  return join(environment.XDG_DATA_HOME || join(homedir(), ".local", "share"), "m25-mail", "m25-mail.db");
}
