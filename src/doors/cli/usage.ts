import type { Flags } from "../../command-line/flags.ts";
import type { Endpoint } from "../../mail/text.ts";
import type { SettingUser } from "../../program/settings.ts";

/** A command's syntax, for its help and for reading its arguments. */
export interface Usage {
  /** The words that name it. */
  name: string;
  /** The names of its arguments, in their order. */
  takes?: string;
  does: string;
  /** The operation that it runs. The command takes its first fields as arguments, and the others as flags. */
  runs?: Endpoint;
  /** Its own flags, besides settings. */
  flags?: Flags;
  /** The settings that it takes as flags; by default those of commands on the database. */
  settings?: SettingUser;
}

export const json = { placeholder: "", help: "the result as JSON, for programs" };

/** The flags of a command that sets a password. */
export const passwordFlags = {
  "password-file": { placeholder: "FILE", help: "instead of standard input or the prompt" },
};

/** The flags of the commands that limit what mailboxes send. */
const sendingFlags = {
  "recipients-per-hour": { placeholder: "N", help: "recipients in an hour; 0: any number; or default" },
  "recipients-per-day": { placeholder: "N", help: "… in a day" },
  "first-time-recipients-per-day": {
    placeholder: "N",
    help: "… to whom it has not written before, in a day",
  },
  json,
};

export const usages: readonly Usage[] = [
  { name: "serve", does: "runs the server: MCP, REST and nodes over HTTP", settings: "serve" },
  { name: "stdio", does: "runs MCP over standard input and output", settings: "stdio" },
  {
    name: "setup",
    does: "makes this Debian machine the server, or brings it up to date",
    flags: {
      "host-name": { placeholder: "NAME", help: "the server's public name, such as mail-admin.example.nl" },
      proxy: {
        placeholder: "PROXY",
        help: "what speaks TLS: caddy, nginx, other (set up by yourself), or none, the server itself (default the one that is installed, else none)",
      },
      certbot: {
        placeholder: "",
        help: "get a certificate from Let's Encrypt by certbot, and agree to its terms of service; Caddy gets its own",
      },
      "acme-server": { placeholder: "URL", help: "… from another authority that speaks ACME" },
      certificate: { placeholder: "DIR", help: "use fullchain.pem and privkey.pem in this folder" },
      "self-signed": { placeholder: "", help: "make a certificate that other programs refuse" },
      "password-file": { placeholder: "FILE", help: "the operator's password, instead of the prompt" },
      domain: { placeholder: "NAME", help: "a first domain for mailboxes" },
      replace: {
        placeholder: "",
        help: "replace configurations that somebody else wrote or changed; a copy stays",
      },
    },
    settings: "setup",
  },
  { name: "domain add", takes: "DOMAIN", does: "registers a domain", runs: "add-domain", flags: { json } },
  {
    name: "domain remove",
    takes: "DOMAIN",
    does: "removes a domain for good, with its soft-deleted mailboxes",
    runs: "remove-domain",
    flags: { json },
  },
  { name: "domain list", does: "lists domains", runs: "list-domains", flags: { json } },
  {
    name: "domain set-limits",
    takes: "DOMAIN",
    does: "limits how many recipients each mailbox of a domain may write to, or shows the limits",
    flags: sendingFlags,
  },
  {
    name: "user add",
    takes: "EMAIL",
    does: "creates a mailbox, and asks for its password",
    runs: "add-user",
    flags: { json },
  },
  {
    name: "user remove",
    takes: "EMAIL",
    does: "soft-deletes a mailbox; with --hard-delete for good",
    runs: "remove-user",
    flags: { json },
  },
  { name: "user list", does: "lists mailboxes", runs: "list-users", flags: { json } },
  {
    name: "user passwd",
    takes: "EMAIL",
    does: "changes a mailbox's password",
    runs: "update-password",
    flags: { json },
  },
  {
    name: "user set",
    takes: "EMAIL",
    does: "changes a mailbox's quota, or turns its login off or on",
    runs: "set-user",
    flags: { json },
  },
  {
    name: "user set-limits",
    takes: "EMAIL",
    does: "limits how many recipients a mailbox may write to, or shows its own limits",
    flags: sendingFlags,
  },
  {
    name: "user show",
    takes: "EMAIL",
    does: "shows a mailbox with its home on the nodes and the aliases that lead to it",
    flags: { json },
  },
  {
    name: "user rename",
    takes: "OLD NEW",
    does: "gives a mailbox another address; its mail, password and quota stay, and aliases follow",
    flags: {
      "keep-alias": { placeholder: "", help: "the old address becomes an alias that leads to the new one" },
      json,
    },
  },
  {
    name: "user list-usage",
    takes: "DOMAIN",
    does: "lists a domain's mailboxes with their sizes and last logins, as nodes report them",
    runs: "list-usage",
    flags: { json },
  },
  {
    name: "user list-inactive",
    does: "lists soft-deleted mailboxes with their ids, for m25-mail-node orphans",
    flags: { json },
  },
  {
    name: "user list-limited",
    does: "lists mailboxes that reached a limit of what they may send in the last week",
    flags: { json },
  },
  {
    name: "user list-weak",
    does: "lists mailboxes with a password hash that Dovecot 2.4 refuses",
    flags: { json },
  },
  {
    name: "user restore",
    takes: "EMAIL",
    does: "restores a soft-deleted mailbox with its old password",
    flags: { json },
  },
  {
    name: "user purge",
    takes: "EMAIL",
    does: "removes a soft-deleted mailbox for good",
    flags: { json },
  },
  {
    name: "alias set",
    takes: "ADDRESS TARGETS",
    does: "makes an alias or replaces its targets, which commas separate",
    runs: "set-alias",
    flags: { json },
  },
  { name: "alias remove", takes: "ADDRESS", does: "removes an alias", runs: "remove-alias", flags: { json } },
  { name: "alias list", does: "lists aliases and domain aliases", runs: "list-aliases", flags: { json } },
  {
    name: "alias list-waiting",
    does: "lists aliases' targets outside that wait for approval",
    flags: { json },
  },
  {
    name: "alias approve",
    takes: "ADDRESS",
    does: "shows an alias's targets outside that wait, asks, and approves them",
    flags: {
      target: { placeholder: "EMAIL,…", help: "only these; by default all that wait" },
      yes: { placeholder: "", help: "approve --target without a question" },
      json,
    },
  },
  {
    name: "alias refuse",
    takes: "ADDRESS",
    does: "removes an alias's targets that wait for approval",
    flags: { target: { placeholder: "EMAIL", help: "only this one; by default all that wait" }, json },
  },
  {
    name: "alias approved-domains",
    does: "lists or changes the domains elsewhere that need no approval",
    flags: {
      add: { placeholder: "DOMAIN", help: "approve targets in this domain that are set from now on" },
      remove: { placeholder: "DOMAIN", help: "ask for approval again; approved targets stay approved" },
      json,
    },
  },
  {
    name: "alias postmaster",
    takes: "[ADDRESS]",
    does: "sets or shows who gets postmaster@ and abuse@ of every domain; none ends it",
    flags: { json },
  },
  {
    name: "node add",
    takes: "NAME",
    does: "registers a node, and shows its key and the line that sets it up",
    runs: "add-node",
    flags: { json },
  },
  {
    name: "node list",
    does: "lists nodes with status, role, domains, revision and address",
    flags: {
      status: {
        placeholder: "STATUS",
        help: "only nodes with this status: never, current, behind, stale or failing",
      },
      limit: { placeholder: "N", help: "nodes per page, 1 to 1000; default: 100" },
      cursor: {
        placeholder: "CURSOR",
        help: "next_cursor of the page before, for the next page",
      },
      json,
    },
  },
  {
    name: "node set",
    takes: "NAME",
    does: "limits a node's domains, role and addresses",
    flags: {
      domains: { placeholder: "LIST", help: "the only domains that the node gets, or all" },
      role: { placeholder: "ROLE", help: "mail, or mx: gets addresses to relay for, never a hash" },
      ip: { placeholder: "CIDR", help: "the only addresses from which it may poll, or any" },
      json,
    },
  },
  {
    name: "node rotate-key",
    takes: "NAME",
    does: "makes a new sync key; its first use ends the old one",
    flags: { json },
    settings: "link",
  },
  {
    name: "node accept",
    takes: "NAME | --all",
    does: "accepts removals that nodes withhold",
    flags: { all: { placeholder: "", help: "of all nodes" }, json },
  },
  {
    name: "node remove",
    takes: "NAME",
    does: "ends a node's keys and limits; it keeps serving its last state",
    flags: { json },
  },
  {
    name: "call",
    takes: "ENDPOINT [--field value …]",
    does: "runs one operation by its name, for scripts",
    flags: { json },
  },
  {
    name: "token create",
    takes: "NAME",
    does: "creates an access token for HTTP, shown only once",
    flags: {
      scopes: {
        placeholder: "LIST",
        help: "read, write, destroy, nodes; default: all, with --domains all but nodes",
      },
      domains: {
        placeholder: "LIST",
        help: "the only domains that it sees and changes, registered or not yet",
      },
      expires: {
        placeholder: "END",
        help: "days or hours from now, such as 90d or 12h, or the last day, such as 2027-01-31",
      },
      json,
    },
  },
  { name: "token list", does: "lists access tokens with scopes and expiry", flags: { json } },
  { name: "token revoke", takes: "NAME", does: "ends an access token at once", flags: { json } },
  {
    name: "check",
    takes: "DOMAIN",
    does: "compares a domain's DNS records with those that its mail needs",
    flags: { json },
    settings: "dns",
  },
  {
    name: "dkim rotate",
    takes: "DOMAIN",
    does: "lets the nodes make another DKIM key for a domain",
    flags: { json },
  },
  {
    name: "import",
    takes: "FILE…",
    does: "imports another mail system's domains, mailboxes with hashes, and aliases",
    flags: {
      from: {
        placeholder: "SYSTEM",
        help: "postfixadmin, mailcow, docker-mailserver, passwd-file or csv: see docs/move.md",
      },
      "dry-run": { placeholder: "", help: "show the plan, and change nothing" },
      domains: { placeholder: "LIST", help: "only addresses in these domains" },
      "unlimited-as": {
        placeholder: "MIB",
        help: "the size limit for mailboxes that have none at the old server",
      },
      "approve-outside": {
        placeholder: "",
        help: "aliases may lead to addresses elsewhere; without it, those targets wait for approval",
      },
      "links-to": {
        placeholder: "FILE",
        help: "write a password link to this new file for each user who needs one; the server must run with --tools people",
      },
      json,
    },
    settings: "password",
  },
  {
    name: "apply",
    takes: "FILE",
    does: "makes domains, mailboxes and aliases as a YAML or JSON file says",
    flags: {
      "dry-run": { placeholder: "", help: "show the plan, and change nothing" },
      prune: {
        placeholder: "",
        help: "soft-delete mailboxes that the file lacks, and remove aliases and empty domains that it lacks",
      },
      "approve-outside": {
        placeholder: "",
        help: "aliases may lead to addresses elsewhere; without it, those targets wait for approval",
      },
      yes: { placeholder: "", help: "prune without a question" },
      json,
    },
  },
  {
    name: "export",
    takes: "FILE",
    does: "exports domains, mailboxes and aliases to a new file for import --from csv",
    flags: {
      "with-hashes": {
        placeholder: "",
        help: "export the passwords' hashes too; without them, each user needs a new password",
      },
      json,
    },
  },
  {
    name: "audit",
    does: "prints the audit log: changes and refusals",
    flags: {
      since: { placeholder: "TIME", help: "only from then on: 7d, 24h, 2026-11-22 or 2026-11-22T10:00:00Z" },
      principal: { placeholder: "NAME", help: "only this caller's, with the name that the log shows" },
      json: { placeholder: "", help: "one JSON object a line, for programs" },
    },
  },
  {
    name: "operator set-password",
    does: "sets the password of the page at / and of OAuth consent",
    flags: { ...passwordFlags, json },
    settings: "password",
  },
  {
    name: "oauth client add",
    takes: "NAME",
    does: "registers an OAuth client without a metadata document",
    flags: {
      "redirect-uri": {
        placeholder: "URI,…",
        help: "addresses to which it is sent back, from its documentation",
      },
      json,
    },
  },
  { name: "oauth client list", does: "lists registered OAuth clients", flags: { json } },
  {
    name: "oauth client remove",
    takes: "NAME",
    does: "removes an OAuth client and ends its grants",
    flags: { json },
  },
  { name: "oauth grants list", does: "lists what OAuth clients may do", flags: { json } },
  { name: "oauth grants revoke", takes: "ID", does: "ends a grant at once", flags: { json } },
  { name: "backup", takes: "FILE", does: "copies an SQLite database, even while in use", flags: { json } },
  {
    name: "restore",
    takes: "FILE",
    does: "shows what a backup would change, asks, and restores an SQLite database, even while in use",
    flags: { yes: { placeholder: "", help: "restore without a question" }, json },
  },
  {
    name: "migrate",
    takes: "DATABASE",
    does: "copies everything to a new file, or to the address of an empty PostgreSQL database; stop the server first",
    flags: { json },
  },
  { name: "completion", does: "prints the completion for bash: source <(m25-mail completion)" },
];

/** The names of a command's arguments. */
export function positionalNames({ takes }: Pick<Usage, "takes">): readonly string[] {
  return takes?.split(" ") ?? [];
}

/** A command with its arguments, as typed after m25-mail. */
export function callOf({ name, takes }: Usage): string {
  return takes === undefined ? name : `${name} ${takes}`;
}

/** The command that these words begin with. */
export function usageFor(words: readonly string[]): Usage | undefined {
  const line = `${words.join(" ")} `;
  return usages.find(({ name }) => line.startsWith(`${name} `));
}

/** The words that may follow this one; none for a word that begins no such command. */
export function verbsOf(word: string): string[] {
  const names = usages.map(({ name }) => name).filter((name) => name.startsWith(`${word} `));
  return names.map((name) => name.slice(word.length + 1));
}
