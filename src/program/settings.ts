import { Resolver } from "node:dns";
import { existsSync, realpathSync } from "node:fs";
import * as z from "zod";
import { addressProblem, isPostgresql } from "../../db/location.ts";
import { accessFields } from "../../tools/call/access.ts";
import { scopes } from "../../tools/call/principal.ts";
import { setNames } from "../../tools/sets/index.ts";
import type { Flag } from "../command-line/flags.ts";
import { logLevels } from "../log/log.ts";
import { Network } from "../mail/schemas.ts";

/**
 * The commands that take settings: the two servers, and commands on the database, that set a password, show the server's address or
 * ask DNS. The set-up takes none: the service's file has them.
 */
export type SettingUser = "serve" | "stdio" | "database" | "password" | "link" | "dns" | "setup";

export interface Setting extends Flag {
  of: readonly SettingUser[];
  /** The value without flag and variable, as it would be typed. */
  default?: string;
  schema: z.ZodType;
}

const everyCommand = ["serve", "stdio", "database", "password", "link", "dns"] as const;
const servers = ["serve", "stdio"] as const;

function wholeNumber(least: number, most: number) {
  return z
    .string()
    .regex(/^\d{1,9}$/, "is not a whole number")
    .transform(Number)
    .pipe(z.int().min(least, `is below ${least}`).max(most, `is above ${most}`));
}

const perMinute = wholeNumber(1, 999_999_999);

function isServerAddress(text: string): boolean {
  try {
    new Resolver().setServers([text]);
    return true;
  } catch {
    return false;
  }
}

/** SQLite keeps its log beside a link's target: watch the log there. */
function toDatabase(text: string, context: z.RefinementCtx): string {
  if (!isPostgresql(text)) return existsSync(text) ? realpathSync(text) : text;
  const problem = addressProblem(text);
  if (problem !== undefined) context.addIssue({ code: "custom", message: problem });
  return text;
}

/** true for the flag; a text for its variable. */
const onOrOff = z.union([z.boolean(), z.stringbool()], { error: "is neither true nor false" });

/** A list separated by commas. */
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

/** Every setting, in the order of the help. A setting is a flag and an environment variable: --db is M25_MAIL_DB. */
export const settings = {
  db: {
    of: everyCommand,
    placeholder: "FILE",
    help: "the database: a file, or the address of a PostgreSQL database, postgres://USER@HOST/NAME",
    schema: z.string().min(1, "is empty").transform(toDatabase),
  },
  "db-password-file": {
    of: everyCommand,
    placeholder: "FILE",
    help: "the file with PostgreSQL's password (default the variable PGPASSWORD)",
    schema: z.string().optional(),
  },
  folder: {
    of: ["serve"],
    placeholder: "FOLDER",
    help: "where the first access token and the maps for nodes are written (default the database file's folder; with PostgreSQL that of the default file)",
    schema: z.string().optional(),
  },
  host: {
    of: ["serve"],
    placeholder: "ADDRESS",
    help: "address to listen on",
    default: "127.0.0.1",
    schema: z.string().min(1, "is empty"),
  },
  port: {
    of: ["serve"],
    placeholder: "PORT",
    help: "port to listen on; 0 lets the system choose",
    default: "8625",
    schema: wholeNumber(0, 65535),
  },
  "public-url": {
    of: ["serve", "stdio", "link"],
    placeholder: "URL",
    help: "the server's address from outside",
    schema: z.url({ protocol: /^https?$/, error: "is not an http(s) URL" }).optional(),
  },
  "allowed-hosts": {
    of: ["serve"],
    placeholder: "NAME,…",
    help: "further host names by which the server may be called",
    default: "",
    schema: list,
  },
  "trusted-proxies": {
    of: ["serve"],
    placeholder: "CIDR,…",
    help: "proxies whose X-Forwarded-For is trusted",
    default: "",
    schema: list.pipe(z.array(network)),
  },
  "read-only": {
    of: servers,
    placeholder: "",
    help: "offer only the tools that change nothing",
    default: "false",
    schema: onOrOff,
  },
  tools: {
    of: servers,
    placeholder: "SET,…",
    help: `sets of tools to offer besides the nine: ${setNames.join(", ")}`,
    default: "",
    schema: list.transform(as(z.array(z.enum(setNames)), `takes one or more of ${setNames.join(",")}.`)),
  },
  "name-server": {
    of: ["serve", "stdio", "dns"],
    placeholder: "ADDRESS[:PORT]",
    help: "the resolver that DNS checks ask (default the machine's own)",
    schema: z
      .string()
      .refine(
        isServerAddress,
        "takes an IP address, such as 9.9.9.9, and a port after a colon if it is not 53",
      )
      .optional(),
  },
  scopes: {
    of: ["stdio"],
    placeholder: "LIST",
    help: `what the client may do: ${scopes.join(", ")} (default all; with --domains all but nodes)`,
    schema: list.transform(as(accessFields.scopes, `takes one or more of ${scopes.join(",")}.`)).optional(),
  },
  domains: {
    of: ["stdio"],
    placeholder: "NAME,…",
    help: "the only domains that the client sees and changes, registered or not yet",
    schema: list
      .transform(as(accessFields.domains, "takes one or more domains, such as example.nl,example.org."))
      .optional(),
  },
  "tls-cert": {
    of: ["serve"],
    placeholder: "FILE",
    help: "serve HTTPS with this certificate (PEM, with its chain)",
    schema: z.string().optional(),
  },
  "tls-key": {
    of: ["serve"],
    placeholder: "FILE",
    help: "… and this private key (PEM)",
    schema: z.string().optional(),
  },
  "limit-requests": {
    of: ["serve"],
    placeholder: "N",
    help: "requests a minute for each principal (a list counts as one per 100 rows), and for each address without a credential",
    default: "6000",
    schema: perMinute,
  },
  "limit-passwords": {
    of: ["serve"],
    placeholder: "N",
    help: "passwords a minute that each principal may set",
    default: "300",
    schema: perMinute,
  },
  "limit-destructive": {
    of: servers,
    placeholder: "N",
    help: "calls that cannot be undone, a minute for each principal",
    default: "30",
    schema: perMinute,
  },
  oauth: {
    of: ["serve"],
    placeholder: "",
    help: "let clients sign in by OAuth 2.1; needs --public-url",
    default: "false",
    schema: onOrOff,
  },
  "oauth-clients": {
    of: ["serve"],
    placeholder: "URL,…",
    help: "further clients that may sign in: the addresses of their metadata documents",
    default: "",
    schema: list.pipe(
      z.array(z.url({ protocol: /^https$/, error: "has an entry that is not an https URL" })),
    ),
  },
  "hash-cost": {
    of: ["serve", "stdio", "password"],
    placeholder: "N",
    help: "bcrypt cost of new passwords, 10 to 14",
    default: "10",
    schema: wholeNumber(10, 14),
  },
  "audit-retention": {
    of: ["serve"],
    placeholder: "DAYS",
    help: "how long to keep audit entries, from now on; or forever, as a new database does",
    schema: z
      .union([z.literal("forever").transform(() => null), wholeNumber(1, 36_500)], {
        error: "is neither a number of days nor forever",
      })
      .optional(),
  },
  "purge-inactive-after": {
    of: ["serve"],
    placeholder: "DAYS",
    help: "remove mailboxes for good this many days after their soft delete (default: never)",
    schema: wholeNumber(1, 36_500).optional(),
  },
  "log-format": {
    of: servers,
    placeholder: "FORMAT",
    help: "text or json",
    default: "text",
    schema: z.enum(["text", "json"], { error: "is neither text nor json" }),
  },
  "log-level": {
    of: servers,
    placeholder: "LEVEL",
    help: `${logLevels.slice(0, -1).join(", ")} or ${logLevels.at(-1)}: the lowest level to log`,
    default: "info",
    schema: z.enum(logLevels, { error: `is not one of ${logLevels.join(", ")}` }),
  },
} satisfies Record<string, Setting>;

type Settings = typeof settings;
export type SettingName = keyof Settings;

/** The settings of these commands. */
export type SettingNameOf<User extends SettingUser> = {
  [Name in SettingName]: User extends Settings[Name]["of"][number] ? Name : never;
}[SettingName];

export type SettingValues<Names extends SettingName> = {
  [Name in Names]: z.output<Settings[Name]["schema"]>;
};

/** The settings that a command takes as flags, by name. */
export function settingsOf<User extends SettingUser>(user: User): Record<SettingNameOf<User>, Setting> {
  const entries: Array<[string, Setting]> = Object.entries(settings);
  const own = entries.filter(([, { of }]) => of.includes(user));
  return Object.fromEntries(own) as Record<SettingNameOf<User>, Setting>;
}

/** A setting's help with its default. */
export function settingHelp({ help, placeholder, default: usual = "" }: Setting): string {
  return placeholder === "" || usual === "" ? help : `${help} (default ${usual})`;
}
