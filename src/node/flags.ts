import type { Flag } from "../command-line/flags.ts";
import { DEFAULT_THRESHOLDS } from "./replica/losses.ts";

export const commandNames = [
  "once",
  "run",
  "join",
  "rotate",
  "accept",
  "status",
  "export",
  "orphans",
] as const;

export type CommandName = (typeof commandNames)[number];

export interface NodeFlag extends Flag {
  name: string;
  /** The commands that take it. Others refuse the flag and ignore its variable. */
  of: readonly CommandName[];
  required?: boolean;
}

export const DEFAULT_MAIL_ROOT = "/var/vmail";

const pollCommands = ["once", "run"] as const;
const serverCommands = [...pollCommands, "join", "rotate"] as const;

export const flags: readonly NodeFlag[] = [
  {
    name: "server",
    placeholder: "URL",
    of: serverCommands,
    required: true,
    help: "the server, e.g. https://mail-admin.example.nl",
  },
  {
    name: "key-file",
    placeholder: "FILE",
    of: serverCommands,
    required: true,
    help: "holds this node's sync key, 0600",
  },
  {
    name: "out",
    placeholder: "DIR",
    of: [...pollCommands, "accept", "status", "export", "orphans"],
    required: true,
    help: "where the replica for Dovecot and Postfix is kept",
  },
  {
    name: "mail-root",
    placeholder: "DIR",
    of: [...pollCommands, "orphans"],
    help: `homes are DIR/XX/ID, XX the first two digits of the ID (default ${DEFAULT_MAIL_ROOT})`,
  },
  { name: "dovecot-config", placeholder: "FILE", of: pollCommands, help: "which Dovecot: doveadm -c FILE" },
  { name: "postfix-config", placeholder: "DIR", of: pollCommands, help: "which Postfix: postconf -c DIR" },
  {
    name: "ca",
    placeholder: "FILE",
    of: serverCommands,
    help: "trust only the certificate authorities in this PEM file",
  },
  {
    name: "insecure-http",
    placeholder: "",
    of: serverCommands,
    help: "http:// beyond loopback, where the link is encrypted below",
  },
  {
    name: "dry-run",
    placeholder: "",
    of: pollCommands,
    help: "poll once, print what would be done, and touch nothing",
  },
  {
    name: "max-loss-percent",
    placeholder: "N",
    of: pollCommands,
    help: `withhold removals of more users of a day than that (default ${DEFAULT_THRESHOLDS.percent})`,
  },
  {
    name: "max-loss-users",
    placeholder: "N",
    of: pollCommands,
    help: `and of more than that many (default ${DEFAULT_THRESHOLDS.users})`,
  },
  {
    name: "accept",
    placeholder: "WHERE",
    of: pollCommands,
    help: "whose word lets withheld removals go: server (default, and here), or local: only m25-mail-node accept",
  },
  {
    name: "inactive",
    placeholder: "FILE",
    of: ["orphans"],
    help: "the ids of soft-deleted mailboxes, whose folders are named apart",
  },
  { name: "json", placeholder: "", of: ["status"], help: "one JSON object in place of lines" },
];
