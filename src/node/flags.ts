import type { Flag } from "../command-line/flags.ts";
import { DEFAULT_MAIL_ROOT } from "../mail/mailbox.ts";
import { DEFAULT_THRESHOLDS } from "./replica/losses.ts";
import { DEFAULT_SENDING_LIMITS } from "./sending/limits.ts";

export const commandNames = [
  "setup",
  "check",
  "once",
  "run",
  "join",
  "rotate",
  "accept",
  "status",
  "export",
  "orphans",
  "completion",
] as const;

export type CommandName = (typeof commandNames)[number];

export interface NodeFlag extends Flag {
  name: string;
  /** The commands that take it. Others refuse the flag and ignore its variable. */
  of: readonly CommandName[];
  required?: boolean;
}

export const DEFAULT_POLICY_PORT = 8626;

const pollCommands = ["once", "run"] as const;
const serverCommands = [...pollCommands, "setup", "join", "rotate"] as const;
const folderCommands = [...pollCommands, "setup", "check", "accept", "status", "export", "orphans"] as const;

/** Where the package keeps the replica and the key. */
export const DEFAULT_OUT = "/var/lib/m25-mail-node";
/** Where Dovecot notes last logins, in the shipped configurations. */
export const DEFAULT_LOGINS = "/var/lib/m25-mail-logins";
export const DEFAULT_KEY_FILE = "/etc/m25-mail-node/key";

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
    help: `file with this node's sync key, mode 0600 (default ${DEFAULT_KEY_FILE})`,
  },
  {
    name: "out",
    placeholder: "DIR",
    of: folderCommands,
    help: `folder of the replica that Dovecot and Postfix read (default ${DEFAULT_OUT})`,
  },
  {
    name: "mail-root",
    placeholder: "DIR",
    of: [...pollCommands, "orphans"],
    help: `mail folders are DIR/XX/ID, XX the first two digits of ID (default ${DEFAULT_MAIL_ROOT})`,
  },
  {
    name: "logins",
    placeholder: "DIR",
    of: pollCommands,
    help: `folder in which Dovecot notes last logins, for m25-mail user list-usage (default ${DEFAULT_LOGINS})`,
  },
  {
    name: "dovecot-config",
    placeholder: "FILE",
    of: pollCommands,
    help: "configuration of another Dovecot, for doveadm -c",
  },
  {
    name: "postfix-config",
    placeholder: "DIR",
    of: pollCommands,
    help: "configuration of another Postfix, for postconf -c",
  },
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
    help: "allow http:// to other machines, over a link that is encrypted itself",
  },
  {
    name: "dry-run",
    placeholder: "",
    of: pollCommands,
    help: "poll once, print what would be done, and change nothing",
  },
  {
    name: "max-loss-percent",
    placeholder: "N",
    of: pollCommands,
    help: `withhold removals of more than N% of the addresses within a day (default ${DEFAULT_THRESHOLDS.percent})`,
  },
  {
    name: "max-loss-users",
    placeholder: "N",
    of: pollCommands,
    help: `… if they are more than N (default ${DEFAULT_THRESHOLDS.users})`,
  },
  {
    name: "accept",
    placeholder: "WHERE",
    of: pollCommands,
    help: "who may accept withheld removals: server (default: the server or this node) or local (this node only)",
  },
  {
    name: "dkim",
    placeholder: "DIR",
    of: pollCommands,
    help: "make a DKIM key for each domain in this folder, for opendkim; without it nobody signs",
  },
  {
    name: "policy-port",
    placeholder: "PORT",
    of: ["run"],
    help: `loopback port where Postfix asks whether a user may send; 0: none (default ${DEFAULT_POLICY_PORT})`,
  },
  {
    name: "recipients-per-hour",
    placeholder: "N",
    of: ["run"],
    help: `recipients to whom a mailbox may write in an hour; 0: any number (default ${DEFAULT_SENDING_LIMITS.hour})`,
  },
  {
    name: "recipients-per-day",
    placeholder: "N",
    of: ["run"],
    help: `… in a day (default ${DEFAULT_SENDING_LIMITS.day})`,
  },
  {
    name: "first-time-recipients-per-day",
    placeholder: "N",
    of: ["run"],
    help: `… to whom it has not written before, in a day (default ${DEFAULT_SENDING_LIMITS.first_time})`,
  },
  {
    name: "inactive",
    placeholder: "FILE",
    of: ["orphans"],
    help: "the ids of soft-deleted mailboxes, whose folders are listed as such",
  },
  {
    name: "json",
    placeholder: "",
    of: ["status", "check", "accept", "export", "orphans"],
    help: "JSON in place of lines: one object, or of export and orphans one a line",
  },
  {
    name: "host-name",
    placeholder: "NAME",
    of: ["setup"],
    help: "this node's own name in DNS, such as mail.example.nl",
  },
  {
    name: "certbot",
    placeholder: "",
    of: ["setup"],
    help: "get a certificate from Let's Encrypt by certbot, and agree to its terms of service",
  },
  {
    name: "acme-server",
    placeholder: "URL",
    of: ["setup"],
    help: "… from another authority that speaks ACME",
  },
  {
    name: "certificate",
    placeholder: "DIR",
    of: ["setup"],
    help: "use fullchain.pem and privkey.pem in this folder",
  },
  {
    name: "self-signed",
    placeholder: "",
    of: ["setup"],
    help: "make a certificate that mail programs warn about",
  },
  {
    name: "mailbox-node",
    placeholder: "NAME",
    of: ["setup"],
    help: "make this an MX-only node, which hands mail to that one",
  },
  {
    name: "without-filter",
    placeholder: "",
    of: ["setup"],
    help: "leave out rspamd, which checks mail from other servers and takes up to 170 MB of memory; the next setup remembers it",
  },
  {
    name: "with-filter",
    placeholder: "",
    of: ["setup"],
    help: "install rspamd and use it; on a new node it is the default",
  },
  {
    name: "replace",
    placeholder: "",
    of: ["setup"],
    help: "replace configurations that somebody else wrote or changed; a copy stays",
  },
];
