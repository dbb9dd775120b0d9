/** The node's Debian package: its program, and the files of deploy/ that a node needs. */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import packageJson from "../package.json" with { type: "json" };
import { completion } from "../src/node/help.ts";
import { debianPackage, type PackedFile } from "./debian-package.ts";

const DEPLOY = "deploy";
const PROGRAM = "/usr/lib/m25-mail-node";
const SHARE = "/usr/share/m25-mail-node";

/** The files of deploy/ that are the server's, or for readers. */
const NOT_FOR_NODES = /^(README\.md|Caddyfile|nginx-.*|server\.env|patroni\.yml|m25-mail|m25-mail\..*)$/;

/** Where the manual way of docs/nodes.md installs the program. */
const BY_HAND = "/usr/local/bin/";

/** @param built the folder of the built programs */
export function nodePackage(built: string): Buffer {
  const files: PackedFile[] = [
    {
      path: `${PROGRAM}/m25-mail-node.mjs`,
      content: readFileSync(join(built, "m25-mail-node.mjs")),
      mode: 0o755,
    },
    {
      path: `${PROGRAM}/m25-mail-node-setup.mjs`,
      content: readFileSync(join(built, "m25-mail-node-setup.mjs")),
    },
    { path: "/usr/bin/m25-mail-node", content: { link: "../lib/m25-mail-node/m25-mail-node.mjs" } },
    { path: "/usr/share/bash-completion/completions/m25-mail-node", content: completion },
    { path: "/usr/share/doc/m25-mail-node/copyright", content: readFileSync("LICENSE") },
    ...readdirSync(DEPLOY)
      .filter((name) => !NOT_FOR_NODES.test(name))
      .map(fileOf),
  ];
  return debianPackage({ control: control(files), postinst: POSTINST, prerm: PRERM, postrm: POSTRM }, files);
}

function fileOf(name: string): PackedFile {
  const file = { path: placeOf(name), content: contentOf(name) };
  return name === "m25-learn" ? { ...file, path: `${PROGRAM}/learn/${name}`, mode: 0o755 } : file;
}

function placeOf(name: string): string {
  const [, kind] = /^m25-mail-node\.(sysusers|tmpfiles)\.conf$/.exec(name) ?? [];
  if (kind !== undefined) return `/usr/lib/${kind}.d/m25-mail-node.conf`;
  return /\.(service|timer)$/.test(name) ? `/usr/lib/systemd/system/${name}` : `${SHARE}/${name}`;
}

function contentOf(name: string): string {
  const text = readFileSync(join(DEPLOY, name), "utf8");
  return /\.service$/.test(name) ? text.replaceAll(BY_HAND, "/usr/bin/") : text;
}

function control(files: readonly PackedFile[]): string {
  const bytes = files.map(({ content }) =>
    content instanceof Buffer || typeof content === "string" ? content.length : 0,
  );
  return `Package: m25-mail-node
Version: ${packageJson.version}
Architecture: all
Maintainer: the M25 Mail authors <noreply@example.invalid>
Installed-Size: ${Math.ceil(bytes.reduce((sum, one) => sum + one) / 1024)}
Depends: nodejs (>= 18), sqlite3, openssl, ca-certificates, systemd,
 postfix (>= 3.7), postfix-lmdb, postfix-sqlite,
 dovecot-core (>= 1:2.3), dovecot-imapd, dovecot-lmtpd, dovecot-sqlite,
 dovecot-sieve, dovecot-managesieved
Recommends: certbot, opendkim
Section: mail
Priority: optional
Homepage: ${packageJson.homepage}
Description: keeps domains and mailboxes of an M25 Mail server for Postfix and Dovecot
 A node receives and keeps mail. m25-mail-node fetches domains and mailboxes from
 the server, and keeps them in SQLite files that Postfix and Dovecot read.
`;
}

const UNITS = "m25-mail-node.service m25-mail-node-once.timer m25-mail-node-check.timer";

const POSTINST = `#!/bin/sh
set -e
if [ "$1" = configure ]; then
  systemd-sysusers m25-mail-node.conf
  systemd-tmpfiles --create m25-mail-node.conf
  if [ -d /run/systemd/system ]; then
    systemctl daemon-reload
    [ -z "$2" ] || systemctl try-restart ${UNITS}
  fi
fi
`;

const PRERM = `#!/bin/sh
set -e
if [ "$1" = remove ] && [ -d /run/systemd/system ]; then
  systemctl disable --now ${UNITS}
fi
`;

const POSTRM = `#!/bin/sh
set -e
if [ -d /run/systemd/system ]; then
  systemctl daemon-reload
fi
`;
