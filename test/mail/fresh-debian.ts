/** A fresh Debian that has booted its systemd, with its own network and ports, to run the pages' commands. */
import { spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { once } from "node:events";
import { existsSync, mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { homedir, tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { createInterface } from "node:readline";
import { mustRun, run, runFor, until } from "./processes.ts";

const CACHE = join(process.env.XDG_CACHE_HOME ?? join(homedir(), ".cache"), "m25-mail-tests");
const KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg";
/** Two minutes suffice on a slow line. A mirror that does not answer must not hold up the tests for long. */
const DOWNLOAD_SECONDS = 600;
/** Several test files need one folder: the first makes it, and the others wait. */
const MAKE_ONCE = `path=$1; partial=$2; shift 2; test -e "$path" || { "$@" && mv "$partial" "$path"; }`;

export type Folder =
  | { readonly available: true; readonly path: string }
  | { readonly available: false; readonly message: string };

/** Returns the sources.list line of a release at this machine's mirror; undefined on other systems. */
export async function debianSource(suite: string): Promise<string | undefined> {
  const format = "$(REPO_URI) $(ORIGIN) $(LABEL)";
  const { stdout } = await run("apt-get", "indextargets", "--format", format, "Created-By: Packages");
  const mirror = /^(\S+) Debian Debian$/m.exec(stdout)?.[1];
  return mirror && `deb [signed-by=${KEYRING}] ${mirror} ${suite} main`;
}

/**
 * Returns a folder with a release, systemd and these packages, configured. It is made once and kept.
 *
 * @param downloaded packages that apt can install there without a network
 */
export async function debianFolder(
  suite: string,
  packages: readonly string[],
  downloaded: readonly string[] = [],
): Promise<Folder> {
  const refused = (reason: string) => ({
    available: false as const,
    message: `${suite} is not tested: ${reason}\n`,
  });
  for (const program of ["mmdebstrap", "flock", "ip", "nsenter", "curl"])
    if ((await run("sh", "-c", `command -v ${program}`)).code !== 0) return refused(`no ${program}`);
  const namespaces = ["--net", "--mount", "--pid", "--uts", "--ipc", "--cgroup", "--fork"];
  if ((await run("unshare", ...namespaces, "mount", "-t", "cgroup2", "cgroup2", "/mnt")).code !== 0)
    return refused(
      "no leave to make namespaces, or no cgroups v2. In Docker: run the tests with --privileged.",
    );
  const hash = createHash("sha256")
    .update([...packages, ...(downloaded.length > 0 ? ["and", ...downloaded] : [])].join())
    .digest("hex")
    .slice(0, 8);
  const path = join(CACHE, `${suite}-${hash}`);
  if (existsSync(path)) return { available: true, path };
  const source = await debianSource(suite);
  if (source === undefined) return refused("this machine's apt names no mirror of Debian.");
  mkdirSync(dirname(path), { recursive: true });
  const partial = `${path}.${process.pid}`;
  const options = ["--variant=minbase", '--aptopt=APT::Install-Recommends "true"'];
  const download =
    downloaded.length === 0
      ? []
      : [
          "--skip=cleanup/apt",
          `--customize-hook=chroot "$1" apt-get install -y --download-only ${downloaded.join(" ")}`,
        ];
  const include = `--include=${["systemd-sysv", ...packages].join()}`;
  try {
    const make = ["mmdebstrap", ...options, ...download, include, suite, partial, source];
    const once = ["-c", MAKE_ONCE, "sh", path, partial, ...make];
    const { code, stderr } = await runFor(2 * DOWNLOAD_SECONDS, "flock", `${path}.lock`, "sh", ...once);
    if (code !== 0)
      return refused(stderr.split("\n").find((line) => line.startsWith("E: ")) ?? `exit ${code}`);
    return { available: true, path };
  } finally {
    rmSync(partial, { recursive: true, force: true });
  }
}

/** A script that prints what the units may not do, by the journal: their rights are those of the files in deploy/. */
export const denials = `journalctl --no-pager |
  grep -E ' (m25-mail|postfix|dovecot|opendkim|rspamd)\\S*: .*(not permitted|ermission denied|ead-only file|fatal:)' || true`;

/** A text, and the keys to type once it is on the screen. */
export type Answer = readonly [text: string, typed: string];

/** The text that was on the screen, and the exit code. */
export interface Shown {
  readonly code: number;
  readonly said: string;
}

export interface FreshDebian {
  /** The writable root, visible with `enter` only. Changes vanish with the machine. */
  readonly root: string;
  /** A command prefix: it runs a program on this test's files in the machine's network. */
  readonly onNetwork: readonly [string, ...string[]];
  /** Runs a shell script with -ex in the machine as root. Throws its output unless it exits with 0. */
  sh(script: string, options?: { folder?: string; input?: string }): Promise<string>;
  /** Runs a shell script at a terminal as root, with an answer to each text in turn. */
  atTerminal(script: string, answers: readonly Answer[]): Promise<Shown>;
  /** Copies a file or folder of this machine to a path there. */
  copyIn(from: string, to: string): Promise<void>;
  /** Shows a folder of this machine, read-only, at a path there that it makes. */
  mount(from: string, to: string): Promise<void>;
  /** Cuts the power and boots again, in a network of its own that only `onNetwork` of then reaches. What `mount` showed is gone. */
  cutPower(): Promise<void>;
  stop(): Promise<void>;
}

const PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
const COPY = 'mkdir -p "$(dirname "$2")"; cp -rL "$1" "$2"';
const MOUNT = 'mkdir -p "$2"; mount --bind "$1" "$2"; mount -o remount,bind,ro "$2"';
const FAILURES = "systemctl --failed --no-legend; journalctl --no-pager --lines 60";

/** Makes a root from the base folder, and starts its systemd as process 1 in the cgroup. */
const BOOT = `base=$1; work=$2; cgroup=$3; root=$work/root
  read -r pid rest </proc/self/stat
  echo 0 >"$cgroup/cgroup.procs"
  ip link set lo up
  mount -t overlay -o "lowerdir=$base,upperdir=$work/upper,workdir=$work/work" overlay "$root"
  mount -t proc proc "$root/proc"
  mount --bind "$root/proc/sys" "$root/proc/sys"
  mount -o remount,bind,ro "$root/proc/sys" # most settings there are not the machine's own
  mount -t sysfs -o ro sysfs "$root/sys"
  mount -t tmpfs tmpfs "$root/run"
  mount -t tmpfs -o mode=755 tmpfs "$root/dev"
  for device in null zero full random urandom tty; do
    touch "$root/dev/$device"; mount --bind "/dev/$device" "$root/dev/$device"
  done
  mkdir "$root/dev/pts" "$root/dev/shm"
  mount -t devpts -o newinstance,ptmxmode=666 devpts "$root/dev/pts"
  ln -s pts/ptmx "$root/dev/ptmx"; ln -s /proc/self/fd "$root/dev/fd"
  tr -d - </proc/sys/kernel/random/uuid >"$root/etc/machine-id"
  echo 127.0.0.1 localhost >"$root/etc/hosts"
  exec unshare --cgroup sh -ec 'mount -t cgroup2 cgroup2 "$1/sys/fs/cgroup"
    echo "$2"
    exec >/dev/null 2>&1 setpriv --bounding-set -sys_module,-sys_time \\
      chroot "$1" env -i container=m25-mail PATH=/usr/sbin:/usr/bin /lib/systemd/systemd' sh "$root" "$pid"`;

/**
 * Keeps the machine until standard input ends, and cuts its power at each line of it. All mounts end with it; the cgroups must be
 * removed. Prints the process 1 of each boot, and an empty line if that has ended.
 */
const KEEP = `boot=$1; base=$2; work=$3; cgroup=$work/cgroup/\${work##*/}
  mount -t tmpfs tmpfs "$work"
  mkdir "$work/upper" "$work/work" "$work/root" "$work/cgroup"
  mount -t cgroup2 cgroup2 "$work/cgroup"
  start() {
    mkdir "$cgroup"
    { unshare --net --mount --pid --uts --ipc --fork --kill-child \\
        sh -ec "$boot" sh "$base" "$work" "$cgroup" </dev/null || echo; } &
  }
  cut() {
    echo 1 >"$cgroup/cgroup.kill"
    wait $! || true
    find "$cgroup" -depth -type d -exec rmdir {} +
  }
  start
  while read -r line; do cut; start; done
  exec >/dev/null
  cut`;

/** Boots a folder of debianFolder(). Scripts and services get `environment`. */
export async function startFreshDebian(
  base: string,
  environment: Readonly<Record<string, string>> = {},
): Promise<FreshDebian> {
  const work = mkdtempSync(join(tmpdir(), "m25-debian-"));
  const root = join(work, "root");
  const keeper = spawn("unshare", ["--mount", "sh", "-ec", KEEP, "sh", BOOT, base, work]);
  const lines = createInterface({ input: keeper.stdout })[Symbol.asyncIterator]();
  let said = "";
  keeper.stderr.on("data", (text) => {
    said += text;
  });
  const ended = once(keeper, "exit");
  const stop = async () => {
    keeper.stdin.end();
    await ended;
    rmSync(work, { recursive: true });
  };
  const variables = Object.entries(environment).map(([name, value]) => `${name}=${value}`);
  const clean = ["chroot", root, "env", "-i", "HOME=/root", `PATH=${PATH}`, ...variables] as const;
  let into: FreshDebian["onNetwork"] = ["false"];
  const inside = () => [...into, "--all", ...clean] as const;
  const boot = async () => {
    const { value: pid } = await lines.next();
    if (!pid) {
      await stop();
      throw new Error(`no fresh Debian: ${said}`);
    }
    into = ["nsenter", "--target", pid];
    await until("Debian has booted", async () =>
      /running|degraded/.test((await run(...inside(), "systemctl", "is-system-running")).stdout),
    );
    if (variables.length > 0) await mustRun(...inside(), "systemctl", "set-environment", ...variables);
  };
  await boot();
  return {
    root,
    get onNetwork() {
      return [...into, "--net"] as const;
    },
    async sh(script, { folder = "/root", input = "" } = {}) {
      const command = [...inside(), "sh", "-exc", `cd ${folder}\n${script}`] as const;
      const finished = await withInput(input, command);
      if (finished.code === 0) return finished.stdout;
      const { stdout: units } = await run(...inside(), "sh", "-c", FAILURES);
      throw new Error(`exit ${finished.code}:\n${finished.said}${units}`);
    },
    atTerminal: (script, answers) =>
      conversation([...inside(), "script", "--quiet", "--return", "--command", script, "/dev/null"], answers),
    copyIn: async (from, to) => {
      await mustRun(...into, "--mount", "sh", "-ec", COPY, "sh", from, join(root, to));
    },
    mount: async (from, to) => {
      await mustRun(...into, "--mount", "sh", "-ec", MOUNT, "sh", from, join(root, to));
    },
    cutPower: async () => {
      keeper.stdin.write("cut\n");
      await lines.next(); // the former process 1 has ended
      await boot();
    },
    stop,
  };
}

async function conversation(
  [program, ...args]: readonly [string, ...string[]],
  answers: readonly Answer[],
): Promise<Shown> {
  const child = spawn(program, args, { stdio: ["pipe", "pipe", "inherit"] });
  let [said, seen] = ["", 0];
  const left = [...answers];
  child.stdin.on("error", () => {}); // it may end before it has read everything
  child.stdout.on("data", (piece) => {
    said += piece;
    for (let [next] = left; next !== undefined && said.includes(next[0], seen); [next] = left) {
      seen = said.indexOf(next[0], seen) + next[0].length;
      left.shift();
      child.stdin.write(next[1]);
    }
  });
  const [code] = await once(child, "close");
  if (left.length > 0) throw new Error(`"${left[0]?.[0]}" was never shown:\n${said}`);
  return { code, said };
}

async function withInput(input: string, [program, ...args]: readonly [string, ...string[]]) {
  const child = spawn(program, args);
  let [stdout, said] = ["", ""];
  child.stdin.on("error", () => {}); // it may end before it has read everything
  child.stdin.end(input);
  child.stdout.on("data", (text) => {
    stdout += text;
    said += text;
  });
  child.stderr.on("data", (text) => {
    said += text;
  });
  const [code] = await once(child, "close");
  return { code, stdout, said };
}
