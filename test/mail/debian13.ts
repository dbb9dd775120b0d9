/** Unpacks Debian 13's Dovecot 2.4 and Postfix 3.10 into a cache folder, for machines with older ones. */
import { existsSync, mkdirSync, readFileSync, renameSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { homedir, tmpdir } from "node:os";
import { dirname, join } from "node:path";
import type { Dovecot } from "./dovecot.ts";
import { debianSource } from "./fresh-debian.ts";
import { mailDaemons } from "./lab.ts";
import { run, runFor } from "./processes.ts";

const CACHE = join(process.env.XDG_CACHE_HOME ?? join(homedir(), ".cache"), "m25-mail-tests/debian13-sieve");
const PACKAGES =
  "dovecot-core,dovecot-imapd,dovecot-lmtpd,dovecot-sqlite,dovecot-sieve,dovecot-managesieved,postfix,postfix-lmdb,postfix-sqlite";
/** A mirror that does not answer must not hold up the tests. */
const DOWNLOAD_SECONDS = 120;

export type Debian13 =
  | { readonly available: true; readonly dovecot: Dovecot }
  | { readonly available: false; readonly message: string };

/** Downloads the packages once. `message` says in one line why Dovecot 2.4 cannot be tested. */
export async function debian13(): Promise<Debian13> {
  const reason = await obstacle();
  if (reason !== undefined) return { available: false, message: `Dovecot 2.4 is not tested: ${reason}\n` };
  // The temporary folder is this machine's, at the same path, so that a lab's files are found inside and
  // outside.
  const enter = `root=$1; tmp=$2; shift 2
    mkdir -p "$root$tmp"
    mount --bind "$tmp" "$root$tmp"
    mount --rbind /dev "$root/dev"
    mount -t proc proc "$root/proc"
    exec chroot "$root" "$@"`;
  return {
    available: true,
    dovecot: { version: "2.4", enter: ["unshare", "--mount", "sh", "-ec", enter, "sh", CACHE, tmpdir()] },
  };
}

async function obstacle(): Promise<string | undefined> {
  if (!mailDaemons().available) return "it is tried together with Postfix, which cannot run here.";
  if ((await run("unshare", "--mount", "true")).code !== 0)
    return "no leave to mount. In Docker: run the tests with --privileged.";
  return existsSync(CACHE) ? undefined : download();
}

/** Returns the reason for a failure. */
async function download(): Promise<string | undefined> {
  if ((await run("mmdebstrap", "--version")).code !== 0)
    return "mmdebstrap, which would fetch it from Debian 13, is missing. apt-get install -y mmdebstrap";
  const source = await debianSource("trixie");
  if (source === undefined) return "this machine's apt names no mirror of Debian.";
  mkdirSync(dirname(CACHE), { recursive: true });
  // Another run may download too: the first to finish wins.
  const partial = `${CACHE}.${process.pid}`;
  const limit = ["--kill-after=5", `${DOWNLOAD_SECONDS}`];
  const command = ["mmdebstrap", "--variant=extract", `--include=${PACKAGES}`, "trixie", partial, source];
  try {
    const { code, stderr } = await runFor(DOWNLOAD_SECONDS + 10, "timeout", ...limit, ...command);
    if (code !== 0) {
      const [error = `mmdebstrap exited ${code}`] = stderr
        .split("\n")
        .filter((line) => line.startsWith("E: "));
      return `Debian 13's packages could not be fetched (${error}); the mirror must be in reach.`;
    }
    // The package that makes these links and folders is not among them.
    for (const folder of ["bin", "lib", "lib64", "sbin"])
      if (!existsSync(join(partial, folder))) symlinkSync(`usr/${folder}`, join(partial, folder));
    for (const folder of ["dev", "proc"]) mkdirSync(join(partial, folder), { recursive: true });
    // No package was configured, so there are no users. These have the ids that own the files in a lab.
    for (const file of ["passwd", "group"]) {
      const lines = readFileSync(`/etc/${file}`, "utf8").split("\n");
      const needed = lines.filter((line) =>
        /^(root|dovecot|dovenull|postfix|postdrop|nogroup|nobody):/.test(line),
      );
      writeFileSync(join(partial, "etc", file), `${needed.join("\n")}\n`);
    }
    if (!existsSync(CACHE)) renameSync(partial, CACHE);
    return undefined;
  } finally {
    rmSync(partial, { recursive: true, force: true });
  }
}
