import { access, rm } from "node:fs/promises";
import { ConfigurationError, onOneLine } from "../../machine/faults.ts";
import type { Memory } from "../../machine/files.ts";
import type { Host } from "../../machine/host.ts";
import { mustRun, runQuietly } from "../../machine/machine.ts";
import { FILTERS_FOLDER, FILTERS_PROXY, FILTERS_SOCKET } from "./configurations.ts";

/** ms. A Pi on a slow line downloads 30 MB. */
const INSTALL = 1_800_000;
/** ms. rspamd listens when it has compiled its patterns. */
const FIRST_START = 180_000;

/** Installs Debian's rspamd, if it is not there, without the Redis that it recommends. @throws ConfigurationError */
export async function installFilter({ machine }: Host): Promise<void> {
  if ((await machine.find("rspamd")) !== undefined) return;
  machine.log("Installing rspamd, which checks mail from other servers…");
  const apt = [
    "apt-get",
    "install",
    "-y",
    "--no-install-recommends",
    "-o",
    "DPkg::Lock::Timeout=300",
    "rspamd",
  ];
  const { code, stderr } = await runQuietly(
    machine,
    ["env", "DEBIAN_FRONTEND=noninteractive", ...apt],
    INSTALL,
  );
  if (code === 0) return;
  throw new ConfigurationError(
    `rspamd cannot be installed: ${onOneLine(stderr)}. Run apt-get update and m25-mail-node setup again, or ` +
      "m25-mail-node setup --without-filter",
  );
}

/**
 * Starts rspamd, after a change twice: until the next start, which finds them on the disk, it keeps 160 MB in which it has
 * compiled patterns. One of its processes may also leave out a file of learnt words that another one makes at that moment.
 */
export async function startFilter(host: Host, again: boolean, signal: AbortSignal): Promise<void> {
  const { machine, units } = host;
  await mustRun(machine, ["systemd-tmpfiles", "--create", FILTERS_FOLDER]);
  const socket = host.at(FILTERS_SOCKET);
  if (again) await rm(socket, { force: true });
  await units.start("rspamd", again);
  if (!again) return;
  const until = machine.clock.monotonic() + FIRST_START;
  const isThere = () =>
    access(socket).then(
      () => true,
      () => false,
    );
  while (!(await isThere()) && machine.clock.monotonic() < until && !signal.aborted)
    await machine.clock.sleep(500, signal);
  await units.start("rspamd", true);
}

/** Stops rspamd if setup has used it. Another one is somebody's own. */
export async function stopFilter({ units }: Host, memory: Memory): Promise<void> {
  if ((await memory.written(FILTERS_PROXY)) !== undefined) await units.stop("rspamd");
}
