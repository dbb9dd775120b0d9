import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { areInstalled } from "../clients/installed.ts";
import { mailDaemons } from "../mail/lab.ts";
import { NSD } from "./name-server.ts";
import { POSTGRESQL } from "./postgresql.ts";

export const CHROMIUM = "/usr/bin/chromium";
export const SLOWHTTPTEST = "/usr/bin/slowhttptest";
export const POSTSRSD = "/usr/sbin/postsrsd";
export const PGBOUNCER = "/usr/sbin/pgbouncer";
export const PATRONI = "/usr/bin/patroni";
export const ETCD = "/usr/bin/etcd";
export const RSPAMD = "/usr/bin/rspamd";
export const OPENDKIM = "/usr/sbin/opendkim";

export type Suite = "tests" | "postgresql" | "sweeps";

interface Need {
  /** The name in the line that lists what is skipped. */
  readonly name: string;
  readonly of: readonly Suite[];
  readonly met: () => boolean;
}

const runs = (program: string, ...args: string[]) => spawnSync(program, args).status === 0;

/** Returns every other Node on this machine that the program supports, with its version. */
export function otherNodes(): { path: string; version: string }[] {
  const found = new Map<string, string>();
  for (const path of [
    "/usr/bin/node",
    "/usr/local/bin/node",
    ...(process.env.M25_MAIL_TEST_NODES ?? "").split(":"),
  ]) {
    if (path === "" || !existsSync(path)) continue;
    const version = spawnSync(path, ["--version"], { encoding: "utf8" }).stdout.trim();
    if (Number(/^v(\d+)/.exec(version)?.[1]) >= 18 && version !== process.version) found.set(version, path);
  }
  return [...found].map(([version, path]) => ({ path, version }));
}

/** Whether this is a git checkout with its earlier commits, from which an upgrade starts. */
export function hasHistory(): boolean {
  return runs("git", "-C", import.meta.dirname, "rev-parse", "--verify", "--quiet", "HEAD~20");
}

/** Needs of some tests. If one is missing, the tests are skipped and the first line of a run names it. */
export const needs: readonly Need[] = [
  { name: "Postfix and Dovecot (as root)", of: ["tests", "sweeps"], met: () => mailDaemons().available },
  { name: "root", of: ["tests", "sweeps"], met: () => process.geteuid?.() === 0 },
  { name: "postsrsd", of: ["tests"], met: () => existsSync(POSTSRSD) },
  { name: "opendkim", of: ["sweeps"], met: () => existsSync(OPENDKIM) },
  { name: "rspamd", of: ["sweeps"], met: () => existsSync(RSPAMD) },
  { name: "Chromium", of: ["tests", "sweeps"], met: () => existsSync(CHROMIUM) },
  { name: "nginx", of: ["tests", "sweeps"], met: () => existsSync("/usr/sbin/nginx") },
  { name: "Caddy", of: ["tests", "postgresql", "sweeps"], met: () => existsSync("/usr/bin/caddy") },
  { name: "NSD", of: ["tests", "sweeps"], met: () => existsSync(NSD) },
  { name: "PostgreSQL", of: ["sweeps"], met: () => POSTGRESQL !== undefined },
  { name: "PgBouncer", of: ["postgresql"], met: () => existsSync(PGBOUNCER) },
  { name: "OpenSSL", of: ["tests", "sweeps"], met: () => runs("openssl", "version") },
  { name: "a second Node (18, 20 or 22)", of: ["sweeps"], met: () => otherNodes().length > 0 },
  { name: "jq", of: ["tests", "sweeps"], met: () => runs("jq", "--version") },
  { name: "systemd-analyze", of: ["tests"], met: () => runs("systemd-analyze", "--version") },
  { name: "other people's clients (npm run clients)", of: ["sweeps"], met: areInstalled },
  { name: "slowhttptest", of: ["sweeps"], met: () => existsSync(SLOWHTTPTEST) },
  { name: "mounts", of: ["sweeps"], met: () => runs("unshare", "--mount", "true") },
  {
    name: "cgroups v2",
    of: ["sweeps"],
    met: () => runs("unshare", "--mount", "mount", "-t", "cgroup2", "cgroup2", "/mnt"),
  },
  { name: "the repository's earlier commits", of: ["sweeps"], met: hasHistory },
  { name: "Patroni and etcd", of: ["sweeps"], met: () => existsSync(PATRONI) && existsSync(ETCD) },
  { name: "iproute2", of: ["sweeps"], met: () => runs("ip", "-Version") },
  { name: "mmdebstrap", of: ["sweeps"], met: () => runs("mmdebstrap", "--version") },
];
