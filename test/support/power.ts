import fs from "node:fs/promises";
import { syncBuiltinESMExports } from "node:module";

/** Counts the steps of a machine: each file that takes its place, each command, each start of a service. */
export class Power {
  #left = Number.POSITIVE_INFINITY;
  #keyboard: AbortController | undefined;

  /** From the nth step on nothing works, as after a kill: neither the step nor what would clean up. */
  endAt(step: number): void {
    this.#left = step - 1;
  }

  /** Ctrl-C in the nth step, which still works. */
  interruptAt(step: number): AbortSignal {
    this.#left = step - 1;
    this.#keyboard = new AbortController();
    return this.#keyboard.signal;
  }

  /** Everything works again. */
  restore(): void {
    this.#left = Number.POSITIVE_INFINITY;
    this.#keyboard = undefined;
  }

  step(): void {
    this.#left -= 1;
    if (this.#left < 0) this.#keyboard?.abort();
    this.check();
  }

  check(): void {
    if (this.#left < 0 && this.#keyboard === undefined) throw new Error("the machine is off");
  }

  /** Runs setup with the files under this power. @returns whether it was done in spite of the step */
  async during(action: () => Promise<unknown>): Promise<boolean> {
    const { rename, symlink, link, rm } = fs;
    fs.rename = async (from, to) => {
      this.step();
      await rename(from, to);
    };
    fs.symlink = async (...names) => {
      this.step();
      await symlink(...names);
    };
    fs.link = async (from, to) => {
      this.step();
      await link(from, to);
    };
    fs.rm = async (...names) => {
      this.check();
      await rm(...names);
    };
    syncBuiltinESMExports();
    try {
      await action();
      return true;
    } catch (error) {
      if (this.#left >= 0) throw error;
      return false;
    } finally {
      Object.assign(fs, { rename, symlink, link, rm });
      syncBuiltinESMExports();
    }
  }
}
