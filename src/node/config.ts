import { resolve } from "node:path";
import { environmentName, type Flags, type FlagValues, parseFlags } from "../command-line/flags.ts";
import { nearest } from "../command-line/nearest.ts";
import { UsageError } from "../command-line/usage-error.ts";
import type { CertificateWishes } from "../machine/certificate.ts";
import { ConfigurationError } from "../machine/faults.ts";
import { DEFAULT_MAIL_ROOT } from "../mail/mailbox.ts";
import {
  type CommandName,
  commandNames,
  DEFAULT_KEY_FILE,
  DEFAULT_LOGINS,
  DEFAULT_OUT,
  DEFAULT_POLICY_PORT,
  flags,
  type NodeFlag,
} from "./flags.ts";
import { DEFAULT_THRESHOLDS, type Thresholds } from "./replica/losses.ts";
import type { SendingLimits } from "./sending/allowance.ts";
import { DEFAULT_SENDING_LIMITS } from "./sending/limits.ts";

/** The settings of a poll. Paths are absolute. */
export interface Config {
  /** The server's address, to which the sync paths are added. */
  server: URL;
  keyFile: string;
  out: string;
  mailRoot: string;
  /** Where Dovecot notes last logins. */
  logins: string;
  /** Given to doveadm as -c. */
  dovecotConfig?: string | undefined;
  /** The folder of main.cf, given to Postfix's commands as -c. */
  postfixConfig?: string | undefined;
  caFile?: string | undefined;
  insecureHttp?: boolean;
  dryRun?: boolean;
  /** True if only an acceptance at this node lets withheld removals go, because the server may be compromised. */
  acceptLocally?: boolean;
  /** Limits beyond which removals are withheld. */
  thresholds?: Thresholds;
  /** The folder of the DKIM keys; undefined where nobody signs. */
  dkim?: string | undefined;
  /** Where Postfix asks whether a user may send, and how much is allowed; undefined where nobody is asked. */
  sending?: { port: number; limits: SendingLimits } | undefined;
}

/** The settings for exchanging a key. */
export type KeyConfig = Pick<Config, "server" | "keyFile" | "caFile">;

export interface StatusConfig {
  out: string;
  /** True for one JSON object instead of lines. */
  json: boolean;
}

export type CheckConfig = StatusConfig;

export type ExportConfig = StatusConfig;

export interface SetupConfig extends KeyConfig, CertificateWishes {
  out: string;
  insecureHttp: boolean;
  /** undefined: the last setup's, or asked. */
  hostName: string | undefined;
  /** Set for an MX-only node. */
  mailboxNode: string | undefined;
  /** undefined: as the last setup. */
  filter: boolean | undefined;
  replace: boolean;
}

export interface OrphansConfig {
  out: string;
  mailRoot: string;
  /** A file with the ids of soft-deleted mailboxes. */
  inactive: string | undefined;
  /** True for one JSON object for each folder instead of a line. */
  json: boolean;
}

export type Command =
  | { name: "help"; about?: CommandName }
  | { name: "version" }
  | { name: "once"; config: Config }
  | { name: "run"; config: Config }
  | { name: "join"; config: KeyConfig }
  | { name: "rotate"; config: KeyConfig }
  | SetupCommand
  | { name: "accept"; config: StatusConfig }
  | { name: "status"; config: StatusConfig }
  | { name: "export"; config: ExportConfig }
  | { name: "orphans"; config: OrphansConfig }
  | { name: "completion" };

/** The commands whose code is in a bundle of its own. */
export type SetupCommand = { name: "setup"; config: SetupConfig } | { name: "check"; config: CheckConfig };

/**
 * @throws UsageError for a wrong command line
 * @throws ConfigurationError for settings that cannot work
 */
export function readCommand(
  argv: readonly string[],
  env: Readonly<Record<string, string | undefined>>,
): Command {
  const { values, positionals } = parseFlags(argv, everyFlag);
  const [name, ...others] = positionals;
  if (values.help === true) return isCommandName(name) ? { name: "help", about: name } : { name: "help" };
  if (values.version === true) return { name: "version" };
  if (name === undefined && argv.length === 0) return { name: "help" };
  if (!isCommandName(name)) {
    const say = `give one of ${commandNames.join(", ")}`;
    if (name === undefined) throw new UsageError(say);
    const near = nearest(name, commandNames);
    throw new UsageError(
      `there is no command ${show(name)}: ${near === undefined ? say : `did you mean ${near}?`}`,
    );
  }
  if (others.length > 0) throw new UsageError(`${show(others[0] ?? "")} is one word too many`);
  const given = readFlags(name, values, env);
  switch (name) {
    case "completion":
      return { name };
    case "setup":
      return { name, config: readSetupConfig(given) };
    case "orphans":
      return {
        name,
        config: {
          out: outOf(given),
          mailRoot: mailRootOf(given),
          inactive: given.path("inactive"),
          json: given.is("json"),
        },
      };
    case "accept":
    case "check":
    case "export":
    case "status":
      return { name, config: { out: outOf(given), json: given.is("json") } };
    case "join":
    case "rotate":
      return { name, config: readKeyConfig(given) };
    default:
      return { name, config: readConfig(given) };
  }
}

const everyFlag: Flags = {
  ...Object.fromEntries(flags.map((flag) => [flag.name, flag])),
  help: { placeholder: "", help: "" },
  version: { placeholder: "", help: "" },
};

function isCommandName(name: string | undefined): name is CommandName {
  return commandNames.some((one) => one === name);
}

interface Given {
  text(flag: string): string | undefined;
  path(flag: string): string | undefined;
  is(flag: string): boolean;
}

function readFlags(
  command: CommandName,
  values: FlagValues,
  env: Readonly<Record<string, string | undefined>>,
): Given {
  const given = new Map<string, string | boolean>();
  for (const flag of flags) {
    if (!flag.of.includes(command)) {
      if (values[flag.name] === undefined) continue;
      const own = `m25-mail-node ${command} --help lists its flags`;
      throw new UsageError(`${command} does not take --${flag.name}: ${own}`);
    }
    const value = values[flag.name] ?? fromEnvironment(flag, env[environmentName(flag.name)]);
    if (value === "") throw new UsageError(`--${flag.name} is empty`);
    if (value !== undefined) given.set(flag.name, value);
    else if (flag.required === true)
      throw new UsageError(`--${flag.name} (or ${environmentName(flag.name)}) is missing`);
  }
  const text = (name: string): string | undefined => given.get(name)?.toString();
  return {
    text,
    path: (name) => parsePath(name, text(name)),
    is: (name) => given.get(name) === true,
  };
}

function readKeyConfig({ text, path, is }: Given): KeyConfig {
  return {
    server: parseServer(text("server") ?? "", is("insecure-http")),
    keyFile: path("key-file") ?? DEFAULT_KEY_FILE,
    caFile: path("ca"),
  };
}

function outOf({ path }: Given): string {
  return path("out") ?? DEFAULT_OUT;
}

function readSetupConfig(given: Given): SetupConfig {
  const { text, path, is } = given;
  const ways = ["certbot", "certificate", "self-signed"].filter((flag) => text(flag) !== undefined);
  if (ways.length > 1) throw new UsageError(`give one of --${ways.join(" and --")}`);
  const [filters, ...others] = [true, false].filter((on) => is(`with${on ? "" : "out"}-filter`));
  if (others.length > 0) throw new UsageError("give one of --with-filter and --without-filter");
  return {
    ...readKeyConfig(given),
    out: outOf(given),
    insecureHttp: is("insecure-http"),
    hostName: text("host-name"),
    mailboxNode: text("mailbox-node"),
    filter: filters,
    certificate: path("certificate"),
    certbot: is("certbot"),
    acmeServer: text("acme-server"),
    selfSigned: is("self-signed"),
    replace: is("replace"),
  };
}

function readConfig(given: Given): Config {
  const { path, is } = given;
  const port = readNumber(given, "policy-port", DEFAULT_POLICY_PORT, 65_535);
  const limits = {
    hour: readNumber(given, "recipients-per-hour", DEFAULT_SENDING_LIMITS.hour, 1e9),
    day: readNumber(given, "recipients-per-day", DEFAULT_SENDING_LIMITS.day, 1e9),
    first_time: readNumber(given, "first-time-recipients-per-day", DEFAULT_SENDING_LIMITS.first_time, 1e9),
  };
  return {
    ...readKeyConfig(given),
    out: outOf(given),
    mailRoot: mailRootOf(given),
    logins: path("logins") ?? DEFAULT_LOGINS,
    dovecotConfig: path("dovecot-config"),
    postfixConfig: path("postfix-config"),
    insecureHttp: is("insecure-http"),
    dryRun: is("dry-run"),
    acceptLocally: readChoice(given, "accept", ["server", "local"]) === "local",
    thresholds: {
      percent: readNumber(given, "max-loss-percent", DEFAULT_THRESHOLDS.percent, 100),
      users: readNumber(given, "max-loss-users", DEFAULT_THRESHOLDS.users, 1e9),
    },
    dkim: dkimOf(given),
    sending: port === 0 ? undefined : { port, limits },
  };
}

/** The first choice is the default. */
function readChoice({ text }: Given, flag: string, choices: readonly [string, ...string[]]): string {
  const value = text(flag) ?? choices[0];
  if (!choices.includes(value)) throw new UsageError(`--${flag} must be one of ${choices.join(", ")}`);
  return value;
}

function readNumber({ text }: Given, flag: string, usual: number, most: number): number {
  const value = text(flag);
  if (value === undefined) return usual;
  if (!/^\d{1,10}$/.test(value) || Number(value) > most)
    throw new UsageError(`--${flag} must be a whole number from 0 to ${most}`);
  return Number(value);
}

function fromEnvironment(flag: NodeFlag, value: string | undefined): string | boolean | undefined {
  if (value === undefined || value === "") return undefined;
  if (flag.placeholder !== "") return value;
  if (/^(1|true|yes|on)$/i.test(value)) return true;
  if (/^(0|false|no|off)$/i.test(value)) return false;
  throw new UsageError(`${environmentName(flag.name)} must be 1 or 0`);
}

function parsePath(name: string, text: string | undefined): string | undefined {
  if (text === undefined) return undefined;
  if (/\p{Cc}/u.test(text)) throw new ConfigurationError(`--${name} has a control character`);
  return resolve(text);
}

function parseServer(text: string, insecureHttp: boolean): URL {
  let url: URL;
  try {
    url = new URL(text);
  } catch {
    throw new UsageError("--server must be a URL, such as https://mail-admin.example.nl");
  }
  if (url.protocol !== "https:" && url.protocol !== "http:")
    throw new UsageError("--server must be an https:// URL");
  if (url.username !== "" || url.password !== "" || url.search !== "" || url.hash !== "") {
    throw new UsageError("--server must be an address alone, without user, query and fragment");
  }
  if (url.protocol === "http:" && !isLoopback(url.hostname) && !insecureHttp) {
    throw new ConfigurationError(
      "--server is http:// to another machine: the key and the password hashes would travel in the clear. " +
        "Use https://, or add --insecure-http if the link itself is encrypted, as by WireGuard",
    );
  }
  if (url.pathname !== "/") {
    throw new ConfigurationError(`--server must be the server's address without a path: ${url.origin}`);
  }
  return url;
}

export function isLoopback(hostname: string): boolean {
  return hostname === "localhost" || hostname === "[::1]" || /^127(\.\d{1,3}){3}$/.test(hostname);
}

/** Checks the mail root, which becomes part of Dovecot's home path, where `%` is expanded. */
function mailRootOf({ text }: Given): string {
  const given = text("mail-root") ?? DEFAULT_MAIL_ROOT;
  if (!given.startsWith("/") || /[:%\s\p{Cc}]/u.test(given)) {
    throw new ConfigurationError(
      "--mail-root must be an absolute path without `:`, `%`, white space and control characters",
    );
  }
  const root = resolve(given);
  return root === "/" ? "" : root;
}

/** Checks the folder's path, which opendkim's tables have: there `:` and white space separate, and `%` is expanded. */
function dkimOf({ path }: Given): string | undefined {
  const folder = path("dkim");
  if (folder !== undefined && /[:%\s]/u.test(folder))
    throw new ConfigurationError("--dkim must be a path without `:`, `%` and white space");
  return folder;
}

/** A typed word for a message: short, on one line, and never a key. */
function show(text: string): string {
  if (/^m25[a-z]+_/.test(text)) return "a key (give it in a file or on standard input only)";
  return JSON.stringify(text.slice(0, 40));
}
