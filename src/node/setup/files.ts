import { createHash } from "node:crypto";
import { link, mkdir, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { writeDurably } from "../durable-file.ts";
import { systemCode } from "../faults.ts";
import { runQuietly } from "../machine.ts";
import { isDebiansMainCf } from "./configurations.ts";
import type { FoundFile, ManagedFile, PlannedFile } from "./file-plan.ts";
import type { Host } from "./host.ts";

const MEMORY = "/var/lib/m25-mail-setup";

/** @returns undefined if there is no such file */
export async function readText(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, "utf8");
  } catch (error) {
    if (systemCode(error) === "ENOENT") return undefined;
    throw error;
  }
}

/** Writes a file durably, and makes its folder. */
export async function writeText(path: string, text: string, mode = 0o644): Promise<void> {
  await mkdir(dirname(path), { recursive: true });
  await writeDurably(path, text, { mode });
}

/** Setup's notes about its last run. */
export class Memory {
  readonly #host: Host;

  constructor(host: Host) {
    this.#host = host;
  }

  async recall(name: string): Promise<string | undefined> {
    return await readText(this.#host.at(`${MEMORY}/${name}`));
  }

  async note(name: string, text: string): Promise<void> {
    const path = this.#host.at(`${MEMORY}/${name}`);
    await mkdir(this.#host.at(MEMORY), { recursive: true, mode: 0o700 });
    await writeText(path, text, 0o600);
  }

  /** A managed file's text when setup wrote it last. */
  async written(path: string): Promise<string | undefined> {
    return await this.recall(`written${path}`);
  }

  async noteWritten({ path, text }: ManagedFile): Promise<void> {
    if ((await this.written(path)) !== text) await this.note(`written${path}`, text);
  }

  /** The services that must be restarted for files that were written. */
  async restarts(): Promise<Set<string>> {
    return new Set(((await this.recall("restart")) ?? "").split("\n").filter((line) => line !== ""));
  }

  async noteRestarts(services: ReadonlySet<string>): Promise<void> {
    await this.note("restart", [...services].join("\n"));
  }
}

export async function findFile(host: Host, memory: Memory, file: ManagedFile): Promise<FoundFile> {
  const now = await readText(host.at(file.path));
  const isDebians = now !== undefined && (await isFromDebian(host, file.path, now));
  return { ...file, now, written: await memory.written(file.path), isDebians };
}

/** The file of a package from which its installation made this one. */
const originals: Readonly<Record<string, string>> = {
  "/etc/postfix/master.cf": "/usr/share/postfix/master.cf.dist",
  "/etc/dovecot/dovecot.conf": "/usr/share/dovecot/dovecot.conf",
};

/** Files that come with a package. */
const conffiles: Readonly<Record<string, string>> = {
  "/etc/opendkim.conf": "opendkim",
  "/etc/nftables.conf": "nftables",
};

/** True for a file of a package that nobody has changed: dpkg has the sum of each. */
async function isConffile({ machine }: Host, owner: string, { path, text }: ManagedFile): Promise<boolean> {
  const { stdout } = await runQuietly(machine, ["dpkg-query", "--status", owner]);
  const sum = createHash("md5").update(text).digest("hex");
  return stdout.split("\n").some((line) => line.trim() === `${path} ${sum}`);
}

async function isFromDebian(host: Host, path: string, text: string): Promise<boolean> {
  if (path === "/etc/postfix/main.cf") {
    const names = ["main.cf.debian", "main.cf.tls"].map((name) => host.at(`/usr/share/postfix/${name}`));
    const parts = await Promise.all(names.map(readText));
    return isDebiansMainCf(text, parts.join("\n"));
  }
  const owner = conffiles[path];
  if (owner !== undefined) return await isConffile(host, owner, { path, text });
  const original = originals[path];
  if (original === undefined || (await readText(host.at(original))) !== text) return false;
  return path !== "/etc/dovecot/dovecot.conf" || (await hasDebiansConfD(host));
}

/** Debian's dovecot.conf reads conf.d, where somebody's settings may be. */
async function hasDebiansConfD(host: Host): Promise<boolean> {
  const names = await readdir(host.at("/etc/dovecot/conf.d")).catch(() => []);
  const same = await Promise.all(
    names.map(async (name) => {
      const [own, debians] = await Promise.all(
        ["/etc/dovecot", "/usr/share/dovecot"].map((folder) => readText(host.at(`${folder}/conf.d/${name}`))),
      );
      return own === debians;
    }),
  );
  return !same.includes(false);
}

/** Writes the planned files. A copy of each replaced one stays beside it. */
export async function writePlanned(
  host: Host,
  memory: Memory,
  planned: readonly PlannedFile[],
): Promise<void> {
  const time = new Date(host.machine.clock.now()).toISOString().replaceAll(/\D/g, "").slice(0, 14);
  for (const file of planned) {
    const path = host.at(file.path);
    if (file.do === "leave") {
      host.machine.log(`${file.path} is yours, and stays: see that the ports of mail are open there`);
      continue;
    }
    if (file.do !== "keep") {
      const copy = `${file.path}.before-${time}`;
      if (file.do === "replace") await keepCopy(path, host.at(copy));
      await writeText(path, file.text);
      host.machine.log(`${file.path}: written${file.do === "replace" ? `; what it was is in ${copy}` : ""}`);
    }
    await memory.noteWritten(file);
  }
}

/** A second name of the file, which stays when another file takes the first. */
async function keepCopy(path: string, copy: string): Promise<void> {
  await rm(copy, { force: true });
  await link(path, copy);
}

/** Shows what differs, as `diff -u` does. */
export async function difference(host: Host, path: string, from: string, to: string): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), "m25-setup-"));
  try {
    await writeFile(join(folder, "from"), from);
    await writeFile(join(folder, "to"), to);
    const labels = ["--label", path, "--label", path];
    return (
      await runQuietly(host.machine, ["diff", "-u", ...labels, join(folder, "from"), join(folder, "to")])
    ).stdout;
  } finally {
    await rm(folder, { recursive: true });
  }
}
