import { completionScript } from "../command-line/completion.ts";
import { environmentName, flagUsage, inColumns } from "../command-line/flags.ts";
import { exitCodes, exitMeanings } from "./faults.ts";
import { type CommandName, commandNames, flags, type NodeFlag } from "./flags.ts";

const usage: Readonly<Record<CommandName, { flags: string; does: string; more: string }>> = {
  setup: {
    flags: "--server URL",
    does: "makes this machine a node, or brings it up to date",
    more:
      "Asks for what it cannot find out: this node's name, the sync key that add-node gave at the server, and the certificate. Joins\n" +
      "the server, writes the configurations of Postfix and Dovecot, starts everything, and checks it. May be run again at any time.\n" +
      "Your own settings belong into /etc/postfix/local.cf, /etc/postfix/local-master.cf and /etc/dovecot/local.conf.",
  },
  check: {
    flags: "[--json]",
    does: "shows whether this node works, and what to do",
    more: "Asks the daemons, the disk, the clock and DNS. Unknown is what this machine cannot find out.",
  },
  join: {
    flags: "--server URL",
    does: "exchanges the key on stdin",
    more:
      "Asks for the key that add-node gave at the server (or reads it from standard input), exchanges it at once for a fresh\n" +
      "one, writes that to the key file and uses it once. The pasted key is worth nothing from then on.",
  },
  once: {
    flags: "--server URL",
    does: "polls once, for cron and systemd timers",
    more: "Repairs DIR if needed, asks the server, applies what is new, and reports to the server.",
  },
  run: {
    flags: "--server URL",
    does: "stays: a change arrives within a second",
    more:
      "Waits at the server for news, until it is told to stop (SIGTERM). It logs faults and tries again;\n" +
      "it ends by itself only if its configuration cannot work.",
  },
  accept: {
    flags: "[--json]",
    does: "accepts the removals that are withheld now",
    more: "The next poll carries them out, with or without a server.",
  },
  status: {
    flags: "[--json]",
    does: "shows what is served, and the last poll",
    more: "Does not ask the server. The exit code is that of the last poll, or says what is wrong in DIR.",
  },
  export: {
    flags: "[--json]",
    does: "prints what is served, without hashes",
    more: "Prints a line for each domain, each alias with its targets, and each mailbox with its quota and its home.",
  },
  orphans: {
    flags: "[--inactive FILE]",
    does: "lists mail folders that belong to nobody",
    more:
      "Lists the folders below --mail-root that no served mailbox owns. They include the folders of soft-deleted mailboxes, which\n" +
      "are needed to restore these. With --inactive, a file with what m25-mail user list-inactive prints at the server,\n" +
      "they are listed as soft-deleted.",
  },
  completion: {
    flags: "",
    does: "prints the completion for bash",
    more: "For this shell: source <(m25-mail-node completion). The package m25-mail-node installs it for all.",
  },
  rotate: {
    flags: "--server URL",
    does: "exchanges the key for a fresh one",
    more: "The old key ends as soon as the fresh one is used, which is at once.",
  },
};

const EXIT_CODES = `Exit codes:
${Object.entries(exitMeanings)
  .map(([name, meaning]) => `  ${exitCodes[name as keyof typeof exitCodes]}`.padEnd(6) + meaning)
  .join("\n")}
`;

const lines = (
  [
    "setup",
    "check",
    "join",
    "once",
    "run",
    "accept",
    "status",
    "export",
    "orphans",
    "rotate",
    "completion",
  ] as const
).map((name) => {
  const { flags: words, does } = usage[name];
  return `  m25-mail-node ${`${name.padEnd(10)} ${words}`.trimEnd().padEnd(47)} ${does}`;
});

export const help = `m25-mail-node: brings the domains and mailboxes of an m25-mail server to this machine's Dovecot and Postfix

${lines.join("\n")}
  m25-mail-node COMMAND --help                                  help and flags of one command
  m25-mail-node --help | --version

Each flag may be given as an environment variable instead, also in /etc/m25-mail/node.env:

${describeFlags(flags)}

DIR holds logins.db, which Dovecot reads, with the whole state of this node, and addresses.db, which Postfix reads, without any
password. An mx has node.db in place of logins.db; no daemon reads it. Each has a -wal and a -shm file of SQLite beside it: never
remove or replace one of these files while the daemons run.

${EXIT_CODES}`;

/** The completion of `m25-mail-node` for bash. */
export const completion = completionScript(
  "m25-mail-node",
  commandNames.map((name) => ({
    name,
    flags: [...flags.filter(({ of }) => of.includes(name)).map((flag) => `--${flag.name}`), "--help"],
  })),
);

/** The help of one command. */
export function commandHelp(name: CommandName): string {
  const { flags: words, does, more } = usage[name];
  const own = describeFlags(flags.filter(({ of }) => of.includes(name)));
  return `${`m25-mail-node ${name} ${words}`.trimEnd()}: ${does}\n\n${more}\n\n${own}\n\n${EXIT_CODES}`;
}

function describeFlags(described: readonly NodeFlag[]): string {
  const rows = described.map((flag) => [flagUsage(flag.name, flag), environmentName(flag.name), flag.help]);
  return inColumns(rows).join("\n");
}
