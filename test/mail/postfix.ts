/** A private Postfix: a folder with its configuration, queue and log. */
import { chmodSync, chownSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { mustRun, startDaemon } from "./processes.ts";
import { agePostfixFiles } from "./shipped.ts";

/** The configuration of Debian's package, to which operators append ours. */
const DEBIAN_MASTER = "/usr/share/postfix/master.cf.dist";

export interface QueuedRecipient {
  readonly address: string;
  readonly reason: string;
}

export interface PostfixConfig {
  /** main.cf, and the `postconf -e` lines that change it. */
  readonly main: string;
  readonly mainSettings: string;
  /** The files beside main.cf by which Postfix asks the replica. */
  readonly tables: Readonly<Record<string, string>>;
  /** The lines that are appended to Debian's master.cf, and the lines of `postconf -P` that change it. */
  readonly master: string;
  readonly masterSettings: string;
  /** The services that listen, and their ports. */
  readonly ports: Readonly<Record<string, number>>;
}

/** Creates the queue below `folder`. Call it before Dovecot starts, whose sockets are in it. */
export async function makePostfixFolders(folder: string): Promise<void> {
  const uid = Number(await mustRun("id", "-u", "postfix"));
  for (const path of ["etc", "spool", "data", "spool/private"])
    mkdirSync(join(folder, path), { recursive: true });
  for (const path of ["data", "spool/private"]) {
    chownSync(join(folder, path), uid, 0);
    chmodSync(join(folder, path), 0o700);
  }
}

/** Writes the configuration to `folder`/etc and starts Postfix. Resolves once its ports are bound. */
export async function startPostfix(folder: string, config: PostfixConfig): Promise<void> {
  const directory = join(folder, "etc");
  const [main, master] = [join(directory, "main.cf"), join(directory, "master.cf")];
  writeFileSync(main, config.main);
  for (const [name, text] of Object.entries(config.tables)) writeFileSync(join(directory, name), text);
  writeFileSync(master, readFileSync(DEBIAN_MASTER, "utf8") + config.master);
  const lines = (text: string) => text.split("\n").filter((line) => line !== "" && !line.startsWith("#"));
  await mustRun("postconf", "-c", directory, "-e", ...lines(config.mainSettings));
  if (config.masterSettings !== "")
    await mustRun("postconf", "-c", directory, "-P", ...lines(config.masterSettings));

  let services = readFileSync(master, "utf8");
  for (const [name, port] of Object.entries(config.ports))
    services = services.replace(new RegExp(`^${name}(\\s+inet\\s)`, "m"), `127.0.0.1:${port}$1`);
  writeFileSync(master, services);

  agePostfixFiles(directory);
  await startDaemon(join(folder, "output"), "/usr/sbin/postfix", "-c", directory, "start");
}

/** Returns the mail in the queue, from `postqueue -j` (postqueue(1)). */
export async function queued(directory: string): Promise<readonly QueuedRecipient[]> {
  const output = await mustRun("/usr/sbin/postqueue", "-c", directory, "-j");
  return output
    .split("\n")
    .filter((line) => line !== "")
    .flatMap((line) => {
      const { recipients } = JSON.parse(line) as { recipients: { address: string; delay_reason?: string }[] };
      return recipients.map(({ address, delay_reason = "" }) => ({ address, reason: delay_reason }));
    });
}
