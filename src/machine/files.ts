import { createHash } from "node:crypto";
import { link, mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { writeDurably } from "./durable-file.ts";
import { absent, ConfigurationError } from "./faults.ts";
import { type FoundFile, type ManagedFile, type PlannedFile, planFile } from "./file-plan.ts";
import type { Host } from "./host.ts";
import { runQuietly } from "./machine.ts";

/** @returns undefined if there is no such file */
export async function readText(path: string): Promise<string | undefined> {
  return await readFile(path, "utf8").catch(absent);
}

/** Writes a file durably, and makes its folder. */
export async function writeText(path: string, text: string, mode = 0o644): Promise<void> {
  await mkdir(dirname(path), { recursive: true });
  await writeDurably(path, text, { mode });
}

/** Setup's notes about its last run. */
export class Memory {
  readonly #host: Host;
  readonly #folder: string;

  constructor(host: Host, folder: string) {
    this.#host = host;
    this.#folder = folder;
  }

  async recall(name: string): Promise<string | undefined> {
    return await readText(this.#host.at(`${this.#folder}/${name}`));
  }

  async note(name: string, text: string): Promise<void> {
    const path = this.#host.at(`${this.#folder}/${name}`);
    await mkdir(this.#host.at(this.#folder), { recursive: true, mode: 0o700 });
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

/** @param isDebians true for a file that Debian's packages wrote, and nobody has changed */
export async function findFile(
  host: Host,
  memory: Memory,
  file: ManagedFile,
  isDebians: (path: string, text: string) => Promise<boolean>,
): Promise<FoundFile> {
  const now = await readText(host.at(file.path));
  return {
    ...file,
    now,
    written: await memory.written(file.path),
    isDebians: now !== undefined && (await isDebians(file.path, now)),
  };
}

/** True for a file of this package that nobody has changed: dpkg has the sum of each. */
export async function isConffile(
  { machine }: Host,
  owner: string,
  path: string,
  text: string,
): Promise<boolean> {
  const { stdout } = await runQuietly(machine, ["dpkg-query", "--status", owner]);
  const sum = createHash("md5").update(text).digest("hex");
  return stdout.split("\n").some((line) => line.trim() === `${path} ${sum}`);
}

/**
 * Plans what to do with each file.
 *
 * @param advice what to do instead of a change by hand
 * @throws ConfigurationError if a file would be lost, after it has shown the difference
 */
export async function planFiles(
  host: Host,
  found: readonly FoundFile[],
  { replace, advice }: { replace: boolean; advice: string },
): Promise<PlannedFile[]> {
  const planned = found.map(planFile);
  const asked = planned.filter((file) => file.do === "ask");
  for (const { path, because } of asked) {
    if (because === undefined) continue;
    host.machine.print(
      `${path} is ${because.what}:\n${await difference(host, path, because.from, because.to)}\n`,
    );
  }
  if (asked.length > 0 && !replace)
    throw new ConfigurationError(
      `${asked.map(({ path }) => path).join(", ")}: setup would overwrite what is shown above, and has changed nothing. ` +
        `${advice}, then run it again with --replace: a copy of each file stays`,
    );
  return planned.map((file) => (file.do === "ask" ? { ...file, do: "replace" } : file));
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
      host.machine.log(`${file.path} is yours, and stays: ${file.ifLeft}`);
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
async function difference(host: Host, path: string, from: string, to: string): Promise<string> {
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
