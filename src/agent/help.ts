import { type CommandName, type Flag, flags, variableOf } from "./flags.ts";

const usage: Readonly<Record<CommandName, { flags: string; does: string; more: string }>> = {
  join: {
    flags: "--server URL --key-file FILE",
    does: "once at first: exchanges the key on stdin",
    more:
      "Asks for the key that m25_mail_add_node gave (or reads it from standard input), exchanges it at once for a fresh\n" +
      "one, writes that to the key file and proves it. The key that was pasted is worth nothing from then on.",
  },
  once: {
    flags: "--server URL --key-file FILE --out DIR",
    does: "one poll: for cron and systemd timers",
    more: "Repairs what is amiss in DIR, asks the server, applies what is new, and tells the server.",
  },
  run: {
    flags: "--server URL --key-file FILE --out DIR",
    does: "resident: a change arrives within a second",
    more:
      "Asks the server, which answers as soon as there is news, again and again, until it is told to stop (SIGTERM).\n" +
      "Faults are logged and tried again; it ends by itself only where it cannot work as it is configured.",
  },
  accept: {
    flags: "--out DIR",
    does: "lets the removals go that are withheld now",
    more: "The next poll carries it out, with or without a server.",
  },
  status: {
    flags: "--out DIR [--json]",
    does: "what is served, and what the server said last",
    more: "Asks nobody. The exit code is that of the last poll, or says what is amiss in DIR.",
  },
  rotate: {
    flags: "--server URL --key-file FILE",
    does: "exchanges the key for a fresh one",
    more: "The old key ends as soon as the fresh one is used, which is at once.",
  },
};

const EXIT_CODES = `Exit codes: 0 done, or nothing to do; 2 wrong usage; 65 the server's answer was refused and the old state
stays in service, or removals of too many users were withheld and nothing else was; 74 the output could not be
written; 75 a temporary failure, run again; 77 the key or the address is not accepted; 78 a configuration that cannot work.
`;

const lines = (["join", "once", "run", "accept", "status", "rotate"] as const).map((name) => {
  const { flags: words, does } = usage[name];
  return `  m25-mail-node ${`${name.padEnd(6)} ${words}`.padEnd(46)} ${does}`;
});

export const help = `m25-mail-node: keeps the Dovecot and Postfix of this machine in step with an m25-mail server

${lines.join("\n")}
  m25-mail-node COMMAND --help                                 more of one command
  m25-mail-node --help | --version

Each flag may be given as an environment variable instead:

${describeFlags(flags)}

Written to DIR, for the daemons: users (Dovecot's passwd-file); domains, mailboxes and senders, each as text and
as .lmdb (Postfix; an mx gets domains and mailboxes alone). For this program: state.json and snapshot.ndjson, from
which the files are rebuilt when the server is away; last-poll.json, for status; postfix, for postmap; and while
there is something to be done yet pending.ndjson (an update), unproved.json (a look-up), accepted.json (your word).

${EXIT_CODES}`;

/** The help of one command. */
export function commandHelp(name: CommandName): string {
  const { flags: words, does, more } = usage[name];
  const own = describeFlags(flags.filter(({ of }) => of.includes(name)));
  return `m25-mail-node ${name} ${words}: ${does}\n\n${more}\n\n${own}\n\n${EXIT_CODES}`;
}

function describeFlags(described: readonly Flag[]): string {
  return described
    .map((flag) => {
      const name = flag.value === undefined ? `--${flag.name}` : `--${flag.name} ${flag.value}`;
      return `  ${name.padEnd(24)} ${variableOf(flag).padEnd(24)} ${flag.description}`;
    })
    .join("\n");
}
