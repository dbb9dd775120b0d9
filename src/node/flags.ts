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

export interface Flag {
  name: string;
  /** The name of its value in the help; a switch has none. */
  value?: string;
  /** The commands that take it. Others refuse the flag and ignore its variable. */
  of: readonly CommandName[];
  required?: boolean;
  description: string;
}

export const DEFAULT_MAIL_ROOT = "/var/vmail";

const polling = ["once", "run"] as const;
const asking = [...polling, "join", "rotate"] as const;

export const flags: readonly Flag[] = [
  {
    name: "server",
    value: "URL",
    of: asking,
    required: true,
    description: "the server, e.g. https://mail-admin.example.nl",
  },
  {
    name: "key-file",
    value: "FILE",
    of: asking,
    required: true,
    description: "holds this node's sync key, 0600",
  },
  {
    name: "out",
    value: "DIR",
    of: [...polling, "accept", "status", "export", "orphans"],
    required: true,
    description: "where the replica for Dovecot and Postfix is kept",
  },
  {
    name: "mail-root",
    value: "DIR",
    of: [...polling, "orphans"],
    description: `homes are DIR/DOMAIN/LOCAL.ID (default ${DEFAULT_MAIL_ROOT})`,
  },
  { name: "dovecot-config", value: "FILE", of: polling, description: "which Dovecot: doveadm -c FILE" },
  { name: "postfix-config", value: "DIR", of: polling, description: "which Postfix: postconf -c DIR" },
  {
    name: "ca",
    value: "FILE",
    of: asking,
    description: "trust only the certificate authorities in this PEM file",
  },
  {
    name: "insecure-http",
    of: asking,
    description: "http:// beyond loopback, where the link is encrypted below",
  },
  { name: "dry-run", of: polling, description: "poll once, print what would be done, and touch nothing" },
  {
    name: "max-loss-percent",
    value: "N",
    of: polling,
    description: `withhold removals of more users of a day than that (default ${DEFAULT_THRESHOLDS.percent})`,
  },
  {
    name: "max-loss-users",
    value: "N",
    of: polling,
    description: `and of more than that many (default ${DEFAULT_THRESHOLDS.users})`,
  },
  {
    name: "accept",
    value: "WHERE",
    of: polling,
    description:
      "whose word lets withheld removals go: server (default, and here), or local: only m25-mail-node accept",
  },
  {
    name: "inactive",
    value: "FILE",
    of: ["orphans"],
    description: "the ids of soft-deleted mailboxes, whose folders are named apart",
  },
  { name: "json", of: ["status"], description: "one JSON object in place of lines" },
];

/** The environment variable that stands for a flag. */
export function variableOf({ name }: Flag): string {
  return `M25_MAIL_${name.toUpperCase().replaceAll("-", "_")}`;
}
