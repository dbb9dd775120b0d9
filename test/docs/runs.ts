/** Lists the blocks of commands that commands.sweep.ts does not run: another test runs them, or none does. */

/** Run by test/mail/as-written.sweep.ts, in a fresh Debian 12 and 13. */
export const mailboxNode = {
  atServer: "docs/nodes.md#set-up-a-node",
  toJoin: "docs/nodes-by-hand.md#install-the-program",
  dryRun: "docs/nodes-by-hand.md#install-the-program 2",
  setUp: "docs/nodes-by-hand.md#set-up-postfix-and-dovecot",
  accept: "docs/nodes.md#removals-that-a-node-withholds 2",
  freshKey: "docs/nodes.md#when-a-key-is-lost-or-stolen",
  toJoinAgain: "docs/nodes.md#when-a-key-is-lost-or-stolen 2",
} as const;

export const mxNode = {
  setRole: "docs/nodes.md#an-mx-only-node",
  setUp: "docs/nodes-by-hand.md#an-mx-only-node-by-hand",
} as const;

/** Run by test/mail/node-setup.ts, in a fresh Debian 12 and 13. */
export const packagedNode = {
  upgrade: "docs/operations.md#a-node",
} as const;

/** Run by test/mail/aliases.sweep.ts, in a fresh Debian 12 and 13. */
export const forwards = {
  rewriteSenders: "docs/aliases.md#rewrite-the-sender-of-forwarded-mail",
} as const;

/** Run by service.sweep.ts, in a fresh Debian 12 and 13. */
export const server = {
  install: "docs/install.md#the-m25-mail-command",
  service: "docs/server.md#run-it-as-a-service",
  caddy: "docs/internet.md#behind-a-proxy",
  nginx: "docs/internet.md#behind-a-proxy 2",
} as const;

/** Run by test/mail/move.sweep.ts, from one lab to another. */
export const move = {
  hold: "docs/move.md#1-prepare",
  masterUser: "docs/move.md#3-copy-the-mail",
  copyMail: "docs/move.md#3-copy-the-mail 2",
  copyOpened: "docs/move.md#3-copy-the-mail 3",
  release: "docs/move.md#4-switch",
} as const;

/** Run by panels.test.ts, on the samples of each panel. */
export const panels = {
  mailu: "docs/move.md#from-other-panels",
  modoboa: "docs/move.md#from-other-panels 2",
  iredmail: "docs/move.md#from-other-panels 3",
  mailinabox: "docs/move.md#from-other-panels 4",
  cpanel: "docs/move.md#from-other-panels 5",
} as const;

/** Run by other tests with other arguments: the value says which. */
export const runElsewhere: Readonly<Record<string, string>> = {
  "README.md#two-commands": "test/doors/npm.sweep.ts runs npm start; npm ci would install again",
  "README.md#two-commands 2": "it runs these tests",
  "README.md#set-up-a-server":
    "test/mail/server-setup.sweep.ts runs setup in a fresh Debian, which cannot reach npm",
  "docs/server.md#set-it-up": "as in README",
  "docs/internet.md#grants": "cli-oauth.test.ts ends a grant of its own: these have another id",
  "CONTRIBUTING.md#start": "as in README",
  "docs/install.md#start-it-from-a-checkout": "as in README",
  "docs/install.md#run-the-tests": "as in README",
  "docs/postgresql.md#move-an-existing-database":
    "test/db/postgresql/copy.test.ts, with a cluster of its own",
  "docs/postgresql.md#back-up-and-restore": "copy.test.ts restores such a dump, with a cluster of its own",
  "docs/postgresql.md#use-it": "test/db/postgresql makes databases on a cluster of its own",
  "docs/dkim.md#turn-it-on": "test/mail/dkim.sweep.ts installs the same files with paths of its own",
  "docs/dkim.md#replace-a-key": "test/mail/dkim.sweep.ts runs it with a key that signs",
  "docs/spam.md#without-a-filter": "test/node/setup and test/mail/node-setup.ts run it",
  "docs/spam.md#by-hand": "test/mail/spam.sweep.ts installs the same files with paths of its own",
  "docs/spam.md#by-hand 2": "as above",
  "docs/install.md#from-the-npm-registry": "test/package/tarball.sweep.ts runs them with the tarball",
  "docs/operations.md#the-server":
    "test/package/upgrade.sweep.ts puts this build in the place of an earlier one",
  "docs/operations.md#the-server 2": "test/package/tarball.sweep.ts installs the tarball",
  "docs/operations.md#a-copy-that-follows-each-change":
    "test/db/litestream.sweep.ts restores to another folder",
};

/** Run by no test: the value says why. */
export const notRun: Readonly<Record<string, string>> = {
  "docs/install.md#in-a-container": "needs a container engine",
  "docs/operations.md#the-server 3": "needs a container engine",
  "docs/nodes.md#server-and-node-on-one-machine": "needs a public name",
  "docs/nodes-by-hand.md#get-a-certificate": "needs a public name",
  "docs/internet.md#a-certificate-for-nginx": "needs a public name",
};
