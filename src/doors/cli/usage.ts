import type { Flags } from "../../command-line/flags.ts";
import type { SettingUser } from "../../program/settings.ts";

/** How a command is called, for its help and for reading its arguments. */
export interface Usage {
  /** The words that name it. */
  name: string;
  /** The names of its arguments, in their order. */
  takes?: string;
  does: string;
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

export const usages: readonly Usage[] = [
  { name: "serve", does: "HTTP: MCP, REST, sync of the nodes, health", settings: "serve" },
  { name: "stdio", does: "MCP over standard input and output", settings: "stdio" },
  {
    name: "call",
    takes: "ENDPOINT [--field value …]",
    does: "one operation from the shell",
    flags: { json },
  },
  {
    name: "token create",
    takes: "NAME",
    does: "an access token for HTTP, shown this once",
    flags: {
      scopes: {
        placeholder: "LIST",
        help: "of read, write, destroy, nodes; by default all, but for nodes where --domains is given",
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
  { name: "token list", does: "whose there are, for what and until when", flags: { json } },
  { name: "token revoke", takes: "NAME", does: "ends one at once", flags: { json } },
  {
    name: "node list",
    does: "what each node is, may have, has applied, and from where it calls",
    flags: {
      status: {
        placeholder: "STATUS",
        help: "only the nodes that are never, current, behind, stale or failing",
      },
      limit: { placeholder: "N", help: "how many at most, 1 to 1000; by default 100" },
      cursor: {
        placeholder: "CURSOR",
        help: "next_cursor of the page before, to go on where it ended",
      },
      json,
    },
  },
  {
    name: "node set",
    takes: "NAME",
    does: "limits what a node gets",
    flags: {
      domains: { placeholder: "LIST", help: "the only domains that it gets, or all" },
      role: { placeholder: "ROLE", help: "mail, or mx: addresses to relay for and never a hash" },
      ip: { placeholder: "CIDR", help: "the only addresses it may poll from, or any" },
      json,
    },
  },
  {
    name: "node rotate-key",
    takes: "NAME",
    does: "a second sync key; the old one ends when it is used",
    flags: { json },
  },
  {
    name: "node accept",
    takes: "NAME | --all",
    does: "lets removals through that nodes withhold",
    flags: { all: { placeholder: "", help: "those of all nodes" }, json },
  },
  {
    name: "node remove",
    takes: "NAME",
    does: "ends its keys, forgets its limits; it keeps serving what it has",
    flags: { json },
  },
  {
    name: "user set-quota",
    takes: "EMAIL MIB",
    does: "another size limit for a mailbox",
    flags: { json },
  },
  {
    name: "user list-inactive",
    does: "soft-deleted mailboxes with their ids, for m25-mail-node orphans",
    flags: { json },
  },
  {
    name: "user restore",
    takes: "EMAIL",
    does: "a soft-deleted mailbox, with its old password",
    flags: { json },
  },
  {
    name: "user purge",
    takes: "EMAIL",
    does: "removes a soft-deleted mailbox for good",
    flags: { json },
  },
  {
    name: "import",
    takes: "FILE…",
    does: "domains and mailboxes of another mail system, with their hashes",
    flags: {
      from: {
        placeholder: "SYSTEM",
        help: "postfixadmin, mailcow, docker-mailserver, passwd-file or csv: see docs/move.md",
      },
      "dry-run": { placeholder: "", help: "show what it would do, and change nothing" },
      domains: { placeholder: "LIST", help: "only the mailboxes of these" },
      "unlimited-as": { placeholder: "MIB", help: "the size limit of mailboxes that have none there" },
      json,
    },
    settings: "password",
  },
  {
    name: "export",
    takes: "FILE",
    does: "domains and mailboxes to a new file, which import --from csv reads",
    flags: {
      "with-hashes": {
        placeholder: "",
        help: "their passwords' hashes too; without them, each user needs a new password",
      },
    },
  },
  {
    name: "audit",
    does: "who changed what, and who was refused",
    flags: {
      since: { placeholder: "TIME", help: "such as 7d, 24h, 2026-11-22 or 2026-11-22T10:00:00Z" },
      principal: { placeholder: "NAME", help: "of one token, the operator, or a node" },
      json: { placeholder: "", help: "one object a line" },
    },
  },
  {
    name: "operator set-password",
    does: "for the page at / and the one on which OAuth clients are allowed",
    flags: { ...passwordFlags, json },
    settings: "password",
  },
  {
    name: "oauth client add",
    takes: "NAME",
    does: "registers a client that has no metadata document",
    flags: {
      "redirect-uri": { placeholder: "URI,…", help: "where it is sent back to, as its maker says" },
      json,
    },
  },
  { name: "oauth client list", does: "those that were registered", flags: { json } },
  {
    name: "oauth client remove",
    takes: "NAME",
    does: "ends one, and what it was allowed",
    flags: { json },
  },
  { name: "oauth grants list", does: "what OAuth clients were allowed", flags: { json } },
  { name: "oauth grants revoke", takes: "ID", does: "ends that at once", flags: { json } },
  { name: "backup", takes: "FILE", does: "a consistent copy of the database, which may be in use" },
  {
    name: "restore",
    takes: "FILE",
    does: "puts what a backup holds back into the database, which may be in use",
  },
];

/** A command with its arguments, as it is typed after m25-mail. */
export function callOf({ name, takes }: Usage): string {
  return takes === undefined ? name : `${name} ${takes}`;
}

/** The command that these words begin with. */
export function usageFor(words: readonly string[]): Usage | undefined {
  const line = `${words.join(" ")} `;
  return usages.find(({ name }) => line.startsWith(`${name} `));
}

/** The words that may follow this one, as a list for a person; "" for a word that begins no such command. */
export function verbsOf(word: string): string {
  const names = usages.map(({ name }) => name).filter((name) => name.startsWith(`${word} `));
  return names.map((name) => name.slice(word.length + 1)).join(", ");
}
