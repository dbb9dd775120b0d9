import { existsSync, writeFileSync } from "node:fs";
import { systemCode } from "../../src/agent/faults.ts";
import type { FileSystem, NewFile } from "../../src/agent/file-system.ts";
import type { Host } from "../../src/agent/host.ts";

/** What the machine does to the program at one of its steps. */
export interface Fault {
  /** The how-manieth step, from 1; steps are whatever changes a file, and each command. */
  step: number;
  kind:
    | { kill: "before" | "during" | "after" }
    /** That one step fails. */
    | { code: "ENOSPC" | "EDQUOT" | "EACCES" | "EROFS" | "EIO" }
    /** From that step on nothing more can be written. */
    | { full: true };
}

/** What a killed program cannot do any more is anything. */
export class Killed extends Error {}

export interface Broken {
  host: Host;
  /** The steps that were taken, in their order. */
  steps: string[];
}

/** A machine that breaks at one step; without a fault it only counts. */
export function breaking(host: Host, fault?: Fault): Broken {
  const steps: string[] = [];
  let dead = false;

  async function step<T>(
    name: string,
    takesSpace: boolean,
    action: () => Promise<T>,
    half?: () => void,
  ): Promise<T> {
    if (dead) throw new Killed(name);
    steps.push(name);
    const kind = fault?.kind;
    const here = steps.length === fault?.step;
    if (kind !== undefined && "full" in kind) {
      if (steps.length >= (fault?.step ?? 0) && takesSpace) throw systemError("ENOSPC", name);
    } else if (here && kind !== undefined && "code" in kind) {
      throw systemError(kind.code, name);
    } else if (here && kind !== undefined && "kill" in kind) {
      dead = true;
      if (kind.kill === "during") half?.();
      if (kind.kill === "after") await action();
      throw new Killed(name);
    }
    return await action();
  }

  const alive = <T>(action: () => Promise<T>): Promise<T> => {
    if (dead) throw new Killed("reading");
    return action();
  };
  const { files } = host;
  const short = (path: string): string => path.replace(/.*\//, "");
  const broken: FileSystem = {
    stat: (path) => alive(() => files.stat(path)),
    read: (path) => alive(() => files.read(path)),
    readPieces: (path) => files.readPieces(path),
    free: async () => (fault !== undefined && !("kill" in fault.kind) ? 0 : 2 ** 40),
    list: (path) => alive(() => files.list(path)),
    create: async (path) => {
      let file: NewFile | undefined;
      const create = async (): Promise<NewFile> => {
        file = await files.create(path);
        return file;
      };
      try {
        return brokenFile(await step(`create ${short(path)}`, true, create), short(path));
      } catch (error) {
        await file?.close();
        throw error;
      }
    },
    rename: (from, to) => step(`rename ${short(from)} ${short(to)}`, false, () => files.rename(from, to)),
    remove: (path) => step(`remove ${short(path)}`, false, () => files.remove(path)),
    makeDirectory: (path) =>
      existsSync(path)
        ? alive(async () => undefined)
        : step(`make ${short(path)}`, true, () => files.makeDirectory(path)),
    setMode: (path, mode) => step(`mode ${short(path)}`, false, () => files.setMode(path, mode)),
    setOwner: (path, uid, gid) => step(`owner ${short(path)}`, false, () => files.setOwner(path, uid, gid)),
    sync: (path) => step(`sync ${short(path)}`, false, () => files.sync(path)),
  };

  function brokenFile(file: NewFile, name: string): NewFile {
    return {
      write: (text) => step(`write ${name}`, true, () => file.write(text)),
      setOwner: (uid, gid) => step(`owner ${name}`, false, () => file.setOwner(uid, gid)),
      setMode: (mode) => step(`mode ${name}`, false, () => file.setMode(mode)),
      setModified: (seconds) => step(`time ${name}`, false, () => file.setModified(seconds)),
      sync: () => step(`sync ${name}`, true, () => file.sync()),
      // The kernel closes what a dead program had open.
      close: () => file.close(),
    };
  }

  return {
    steps,
    host: {
      ...host,
      files: broken,
      run: async (command, args, options) => {
        // A look-up changes nothing.
        if (args.includes("-q")) return await alive(() => host.run(command, args, options));
        const name = `${short(command)} ${args.map(short).join(" ")}`;
        const target = `${args.at(-1)?.replace(/^lmdb:/, "")}.lmdb`;
        const builds = short(command) === "postmap" && !args.includes("-s");
        // A first postmap that comes to nothing leaves an empty map; in place it is a transaction.
        const empty = (): void => void (builds && target.endsWith(".new.lmdb") && writeFileSync(target, ""));
        try {
          return await step(name, builds, () => host.run(command, args, options), empty);
        } catch (error) {
          if (error instanceof Killed || systemCode(error) !== "ENOSPC") throw error;
          // As measured with Postfix 3.7: it does not notice.
          empty();
          return { code: 0, stdout: "", stderr: "" };
        }
      },
    },
  };
}

function systemError(code: string, name: string): Error {
  return Object.assign(new Error(`${code}: made up, ${name}`), { code, path: name });
}
