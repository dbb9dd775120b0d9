import { readdir, readFile } from "node:fs/promises";

/** Debian's program that signs. It reads its tables when it starts, and again at SIGUSR1: opendkim(8). */
const PROGRAM = "opendkim";

/**
 * Lets each running signer read its tables again. One that is not running reads them when it starts.
 *
 * @returns false if one has just been started: it is not ready for the signal, which would end it
 */
export async function reloadSigner(): Promise<boolean> {
  let isReady = true;
  const ids = (await readdir("/proc")).filter((name) => /^\d+$/.test(name));
  for (const id of ids) {
    const status = await readFile(`/proc/${id}/status`, "utf8").catch(() => "");
    if (!status.startsWith(`Name:\t${PROGRAM}\n`)) continue;
    if (blocksSignal(status)) process.kill(Number(id), "SIGUSR1");
    else isReady = false;
  }
  return isReady;
}

/** opendkim blocks SIGUSR1, number 10, in all threads but the one that waits for it. */
function blocksSignal(status: string): boolean {
  const [, mask = "0"] = /^SigBlk:\s*([0-9a-f]+)$/m.exec(status) ?? [];
  return (BigInt(`0x${mask}`) & (1n << 9n)) !== 0n;
}
