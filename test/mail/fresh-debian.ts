/** A fresh Debian with its own network, processes and ports, to run the pages' commands as written. */
import { spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { once } from "node:events";
import { existsSync, mkdirSync, mkdtempSync, renameSync, rmSync } from "node:fs";
import { homedir, tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { mustRun, run, runFor } from "./processes.ts";

const CACHE = join(process.env.XDG_CACHE_HOME ?? join(homedir(), ".cache"), "m25-mail-tests");
const KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg";
/** Two minutes suffice on a slow line. A mirror that does not answer must not hold up the tests for long. */
const DOWNLOAD_SECONDS = 600;

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

/** Returns a folder with a release, systemd and these packages, configured. It is made once and kept. */
export async function debianFolder(suite: string, packages: readonly string[]): Promise<Folder> {
  const refused = (reason: string) => ({
    available: false as const,
    message: `${suite} is not tested: ${reason}\n`,
  });
  for (const program of ["mmdebstrap", "ip", "nsenter", "curl"])
    if ((await run("sh", "-c", `command -v ${program}`)).code !== 0) return refused(`no ${program}`);
  if ((await run("unshare", "--net", "--mount", "--pid", "--fork", "true")).code !== 0)
    return refused("no leave to make namespaces. In Docker: run the tests with --privileged.");
  const hash = createHash("sha256").update(packages.join()).digest("hex").slice(0, 8);
  const path = join(CACHE, `${suite}-${hash}`);
  if (existsSync(path)) return { available: true, path };
  const source = await debianSource(suite);
  if (source === undefined) return refused("this machine's apt names no mirror of Debian.");
  mkdirSync(dirname(path), { recursive: true });
  // Another run may make it too: the first to finish wins.
  const partial = `${path}.${process.pid}`;
  const options = ["--variant=minbase", '--aptopt=APT::Install-Recommends "true"'];
  const include = `--include=${["systemd-sysv", ...packages].join()}`;
  try {
    const { code, stderr } = await runFor(
      DOWNLOAD_SECONDS,
      "mmdebstrap",
      ...options,
      include,
      suite,
      partial,
      source,
    );
    if (code !== 0)
      return refused(stderr.split("\n").find((line) => line.startsWith("E: ")) ?? `exit ${code}`);
    if (!existsSync(path)) renameSync(partial, path);
    return { available: true, path };
  } finally {
    rmSync(partial, { recursive: true, force: true });
  }
}

export interface FreshDebian {
  /** The writable root, visible with `enter` only. Changes vanish with the machine. */
  readonly root: string;
  /** A command prefix: it runs a program on this test's files in the machine's network. */
  readonly onNetwork: readonly [string, ...string[]];
  /** Runs a shell script with -ex in the machine as root. Throws its output unless it exits with 0. */
  sh(script: string, options?: { folder?: string; input?: string }): Promise<void>;
  /** Copies a file or folder of this machine to a path there. */
  copyIn(from: string, to: string): Promise<void>;
  stop(): Promise<void>;
}

/** The mounts vanish with the first process, which ends with its standard input: nothing is left behind. */
const FIRST_PROCESS = `base=$1; work=$2
  read -r pid rest </proc/self/stat
  ip link set lo up
  mount -t tmpfs tmpfs "$work"
  mkdir "$work/upper" "$work/work" "$work/root"
  mount -t overlay -o "lowerdir=$base,upperdir=$work/upper,workdir=$work/work" overlay "$work/root"
  mount -t proc proc "$work/root/proc"
  mount --rbind /dev "$work/root/dev"
  mount -t tmpfs tmpfs "$work/root/run"
  echo "$pid"
  exec cat >/dev/null`;

export async function startFreshDebian(
  base: string,
  environment: Readonly<Record<string, string>>,
): Promise<FreshDebian> {
  const work = mkdtempSync(join(tmpdir(), "m25-debian-"));
  const root = join(work, "root");
  const namespaces = ["--net", "--mount", "--pid", "--fork", "--kill-child"];
  const first = spawn("unshare", [...namespaces, "sh", "-ec", FIRST_PROCESS, "sh", base, work]);
  let said = "";
  first.stderr.on("data", (text) => {
    said += text;
  });
  const ended = once(first, "exit");
  const pid = await Promise.race([once(first.stdout, "data").then(String), ended.then(() => undefined)]);
  if (pid === undefined) throw new Error(`no fresh Debian: ${said}`);
  const into = ["nsenter", "--target", pid.trim()] as const;
  const variables = Object.entries(environment).map(([name, value]) => `${name}=${value}`);
  const clean = [
    "env",
    "-i",
    "HOME=/root",
    "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
  ];
  const enter = [...into, "--net", "--mount", "--pid", "chroot", root, ...clean, ...variables];
  return {
    root,
    onNetwork: [...into, "--net"],
    sh: (script, { folder = "/root", input = "" } = {}) =>
      withInput(input, [...enter, "sh", "-exc", `cd ${folder}\n${script}`]),
    copyIn: async (from, to) => {
      await mustRun(...into, "--mount", "cp", "-rL", from, join(root, to));
    },
    stop: async () => {
      first.stdin.end();
      await ended;
      rmSync(work, { recursive: true });
    },
  };
}

/** Waits for the program only: daemons that it started keep its standard output open, so it may not be complete. */
async function withInput(input: string, [program = "", ...args]: readonly string[]): Promise<void> {
  const child = spawn(program, args);
  const said: string[] = [];
  child.stdin.on("error", () => {}); // it may end before it has read everything
  child.stdin.end(input);
  child.stdout.on("data", (text) => said.push(String(text)));
  child.stderr.on("data", (text) => said.push(String(text)));
  const [code] = await once(child, "exit");
  if (code !== 0) throw new Error(`exit ${code}:\n${said.join("")}`);
}
