import type { ManagedFile } from "../../machine/file-plan.ts";

/** The answers that the configurations depend on. */
export interface Answers {
  hostName: string;
  server: string;
  /** Set on an MX-only node: where it hands its mail. */
  mailboxNode?: string | undefined;
  /** True if rspamd checks mail from other servers. */
  filter: boolean;
}

/** The package's files by name, and the operator's own additions. */
export interface Sources {
  shipped: Readonly<Record<string, string>>;
  /** Debian's master.cf, to which the services of a node are added. */
  masterCf: string;
  /** /etc/postfix/local.cf and local-master.cf; "" if there is none. */
  localCf: string;
  localMasterCf: string;
  /** undefined without Dovecot. */
  dovecot: "2.3" | "2.4" | undefined;
  /** True if opendkim signs what users send. */
  signs: boolean;
  /** The ports of sshd, where nftables is in use. */
  firewall: readonly number[] | undefined;
  /** True if fail2ban locks addresses out, with nftables. */
  locks: boolean;
}

/** The certificate of both daemons. */
export const CERTIFICATE_FOLDER = "/etc/ssl/m25-mail";
export const LOCAL_CF = "/etc/postfix/local.cf";
export const NFTABLES_CONF = "/etc/nftables.conf";
const JAILS = "/etc/fail2ban/jail.d/m25-mail.conf";
export const LOCAL_MASTER_CF = "/etc/postfix/local-master.cf";
/** In tmpfiles.d: makes the folder of opendkim's socket. */
export const SIGNERS_FOLDER = "m25-mail-dkim.conf";
/** In tmpfiles.d: makes the folder of rspamd's socket. */
export const FILTERS_FOLDER = "m25-mail-filter.conf";
/** The socket at which Postfix asks rspamd. */
export const FILTERS_SOCKET = "/var/spool/postfix/rspamd/milter.sock";
/** One of rspamd's files: setup has it written where it has set up rspamd. */
export const FILTERS_PROXY = "/etc/rspamd/local.d/worker-proxy.inc";
/** Dovecot's rule for what rspamd has marked. */
export const JUNK_RULE = "/etc/dovecot/m25-junk.sieve";
/** What Dovecot runs when an owner moves mail, so that rspamd learns. */
export const LEARN_RULES = ["spam", "ham"].map((kind) => `/etc/dovecot/m25-learn-${kind}.sieve`);

const HEAD = (local: string) =>
  `# Written by m25-mail-node setup. Put your own settings into ${local}, and run m25-mail-node setup again.\n`;

/** All files of the daemons on a node of this role. */
export function configurations(answers: Answers, sources: Sources): ManagedFile[] {
  const { shipped, dovecot } = sources;
  const isMx = answers.mailboxNode !== undefined;
  const queries = Object.keys(shipped).filter((name) => /^m25-.*\.cf$/.test(name));
  const files: ManagedFile[] = [
    { path: "/etc/postfix/main.cf", text: mainCf(answers, sources) },
    { path: "/etc/postfix/master.cf", text: masterCf(isMx, sources) },
    ...queries.map((name) => ({ path: `/etc/postfix/${name}`, text: shipped[name] ?? "" })),
  ];
  if (sources.firewall !== undefined)
    files.push({
      path: NFTABLES_CONF,
      text: firewall(sources.firewall, isMx, sources),
      ifLeft: "see that the ports of mail are open there",
    });
  if (answers.filter) files.push(...filterFiles(shipped, isMx));
  if (isMx || dovecot === undefined) return files;
  files.push({ path: "/etc/dovecot/dovecot.conf", text: shipped[`dovecot-${dovecot}.conf`] ?? "" });
  for (const path of [JUNK_RULE, ...(answers.filter ? LEARN_RULES : [])])
    files.push({ path, text: shipped[path.slice("/etc/dovecot/".length)] ?? "" });
  const learn = answers.filter
    ? shipped[`dovecot-${dovecot}-learn.conf`]
    : "# There is no filter to teach.\n";
  files.push({ path: "/etc/dovecot/m25-learn.conf", text: learn ?? "" });
  if (sources.locks) files.push({ path: JAILS, text: shipped["fail2ban-m25-mail.conf"] ?? "" });
  const queriesOf23 = shipped["dovecot-2.3-sql.conf.ext"] ?? "";
  if (dovecot === "2.3") files.push({ path: "/etc/dovecot/m25-sql.conf.ext", text: queriesOf23 });
  if (!sources.signs) return files;
  return [
    ...files,
    { path: "/etc/opendkim.conf", text: shipped["opendkim.conf"] ?? "" },
    { path: `/etc/tmpfiles.d/${SIGNERS_FOLDER}`, text: shipped["m25-mail-dkim.tmpfiles.conf"] ?? "" },
  ];
}

/** An MX-only node has no mailboxes that teach. */
function filterFiles(shipped: Sources["shipped"], isMx: boolean): ManagedFile[] {
  const names = Object.keys(shipped).filter((name) => name.startsWith("rspamd-"));
  return [
    ...names.map((name) => {
      const file = name.slice("rspamd-".length);
      const learning = isMx ? undefined : shipped[`learn-${file}`];
      return { path: `/etc/rspamd/local.d/${file}`, text: learning ?? shipped[name] ?? "" };
    }),
    { path: `/etc/tmpfiles.d/${FILTERS_FOLDER}`, text: shipped["m25-mail-filter.tmpfiles.conf"] ?? "" },
  ];
}

function mainCf({ hostName, mailboxNode, filter }: Answers, { shipped, localCf, signs }: Sources): string {
  const values = new Map([["myhostname", hostName]]);
  if (mailboxNode !== undefined) values.set("mailbox_node", `[${mailboxNode}]:25`);
  let text = shipped[mailboxNode === undefined ? "postfix-main.cf" : "postfix-mx.cf"] ?? "";
  for (const [name, value] of values)
    text = text.replace(new RegExp(`^${name} =.*$`, "m"), () => `${name} = ${value}`);
  if (signs && mailboxNode === undefined) text = withLater(text, shipped["postfix-dkim-main.cf"] ?? "");
  if (filter) text = withLater(text, shipped["postfix-filter-main.cf"] ?? "");
  return `${HEAD(LOCAL_CF)}${withLater(text, added(LOCAL_CF, localCf))}`;
}

function masterCf(isMx: boolean, { shipped, masterCf: debians, localMasterCf }: Sources): string {
  const services = isMx ? "" : (shipped["postfix-master.cf"] ?? "");
  return `${HEAD(LOCAL_MASTER_CF)}${debians}${services}${added(LOCAL_MASTER_CF, localMasterCf)}`;
}

/** An MX-only node has no ports for users. */
function firewall(ssh: readonly number[], isMx: boolean, { shipped }: Sources): string {
  const text = (shipped["nftables.conf"] ?? "").replace(
    /^define ssh = .*$/m,
    `define ssh = { ${ssh.join(", ")} }`,
  );
  return isMx ? text.replace(/^define open = .*$/m, "define open = { 25, 80, 443 }") : text;
}

function added(path: string, text: string): string {
  return text.trim() === "" ? "" : `\n# From ${path}:\n${text.trimEnd()}\n`;
}

/** The settings of a main.cf, with the white space of each value made one space. postconf(5). */
export function settingsOf(text: string): Map<string, string> {
  const found = new Map<string, string>();
  let name: string | undefined;
  for (const line of text.split("\n")) {
    if (/^\s*(#|$)/.test(line)) continue;
    const [, begun, value = ""] = /^([A-Za-z0-9_]+)\s*=\s*(.*)$/.exec(line) ?? [];
    if (begun !== undefined) name = begun;
    if (name === undefined) continue;
    const so = begun === undefined ? `${found.get(name) ?? ""} ${line}` : value;
    found.set(name, so.replaceAll(/\s+/g, " ").trim());
  }
  return found;
}

/** A main.cf with further settings, which replace those of the same name: Postfix warns about one that is there twice. */
function withLater(text: string, later: string): string {
  return `${withoutSettings(text, new Set(settingsOf(later).keys()))}${later}`;
}

/** The text without these settings and their continued lines. */
function withoutSettings(text: string, names: ReadonlySet<string>): string {
  let isDropped = false;
  const kept = text.split("\n").filter((line) => {
    const [, name] = /^([A-Za-z0-9_]+)\s*=/.exec(line) ?? [];
    if (name !== undefined) isDropped = names.has(name);
    else if (!/^\s+\S/.test(line)) isDropped = false;
    return !isDropped;
  });
  return kept.join("\n");
}

/** Settings that Debian's installation of Postfix adds to its template. Another value is somebody's own. */
const INSTALLED: Readonly<Record<string, RegExp>> = {
  alias_database: /^hash:\/etc\/aliases$/,
  alias_maps: /^hash:\/etc\/aliases$/,
  inet_interfaces: /^(all|loopback-only)$/,
  inet_protocols: /^(all|ipv4)$/,
  mailbox_command: /^$/,
  mailbox_size_limit: /^\d+$/,
  mydestination: /./,
  mydomain: /./,
  myhostname: /./,
  mynetworks: /^127\.0\.0\.0\/8( \[::ffff:127\.0\.0\.0\]\/104 \[::1\]\/128)?$/,
  myorigin: /^\/etc\/mailname$/,
  recipient_delimiter: /^\+?$/,
  relayhost: /^$/,
  smtpd_relay_restrictions: /^permit_mynetworks permit_sasl_authenticated defer_unauth_destination$/,
};

/**
 * True for a main.cf that the installation of Debian's package wrote, and nobody has changed since.
 *
 * @param template the package's own, from which the installation makes it
 */
export function isDebiansMainCf(text: string, template: string): boolean {
  const debians = settingsOf(template);
  return [...settingsOf(text)].every(
    ([name, value]) => debians.get(name) === value || INSTALLED[name]?.test(value) === true,
  );
}
