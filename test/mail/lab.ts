/**
 * Starts private Postfix and Dovecot daemons on loopback, with the shipped configuration from deploy/. Only
 * the paths, the ports and a few settings that tests cannot use (DNS, log-in delays) come from
 * test/mail/overlay/. Each lab has its own folder, and any number may run at once. Postfix needs root.
 */
import {
  chmodSync,
  chownSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join, relative } from "node:path";
import { type Dovecot, dovecotCommand, installedDovecot, startDovecot } from "./dovecot.ts";
import { onFreePorts } from "./ports.ts";
import { makePostfixFolders, type QueuedRecipient, queued, startPostfix } from "./postfix.ts";
import { endDaemon, type Finished, mustRun, run, watchOver } from "./processes.ts";
import { overlay, shipped } from "./shipped.ts";

/** The owner of all mail in a lab. The shipped files call it vmail. */
const VMAIL = 5000;

export interface MailLabOptions {
  /** Where m25-mail-node keeps its replica. May still be empty. */
  readonly out: string;
  /** The root of the homes that it names. */
  readonly mailRoot: string;
  /** `shipped`: passwords inside TLS only, as in production. `optional`, the default: also without. */
  readonly tls?: "shipped" | "optional";
  /** Where Postfix asks whether a user may send; by default it does not ask, because it would wait for an answer. */
  readonly policyPort?: number;
  /** A Dovecot other than the installed one. */
  readonly dovecot?: Dovecot;
}

export interface PostfixLab {
  readonly postfixConfigDir: string;
  /** Returns Postfix's queue: each recipient with the reason for the delay. */
  queue(): Promise<readonly QueuedRecipient[]>;
  /** Retries all queued mail now. */
  flushQueue(): Promise<void>;
  /** Returns the daemons' latest log, to show when a test fails. */
  log(): string;
  /** Ends all daemons and removes the lab's folder, but not `out` and `mailRoot`. May be called twice. */
  stop(): Promise<void>;
}

export interface MailLab extends PostfixLab {
  readonly ports: Record<"smtp" | "submission" | "submissions" | "imap" | "imaps" | "lmtp" | "sieve", number>;
  /** The path for `doveadm -c` and `--dovecot-config`. */
  readonly dovecotConfig: string;
  /** The folder for `--logins`. */
  readonly logins: string;
  doveadm(...args: readonly string[]): Promise<Finished>;
}

export interface MxLab extends PostfixLab {
  readonly ports: Record<"smtp", number>;
}

export type Availability =
  | { readonly available: true }
  | { readonly available: false; readonly message: string };

/** Returns whether a lab can be started here. `message` says what is skipped and what to do. */
export function mailDaemons(): Availability {
  const refuse = (reason: string) => ({
    available: false as const,
    message: `Mail tests are skipped: ${reason}\n`,
  });
  if (process.platform !== "linux") return refuse("they run on Linux only.");
  const needed = [
    "sbin/postfix",
    "lib/postfix/postfix-lmdb.so",
    "lib/postfix/postfix-sqlite.so",
    "lib/dovecot/modules/auth/libdriver_sqlite.so",
    "bin/sqlite3",
    "sbin/dovecot",
    "lib/dovecot/imap",
    "lib/dovecot/lmtp",
    "lib/dovecot/modules/lib90_sieve_plugin.so",
    "lib/dovecot/managesieve",
  ];
  const missing = [...needed, "bin/openssl"].find((path) => !existsSync(join("/usr", path)));
  if (missing !== undefined)
    return refuse(
      `no /usr/${missing}. As root: echo "postfix postfix/main_mailer_type select No configuration" | debconf-set-selections; ` +
        "apt-get install -y --no-install-recommends postfix postfix-lmdb postfix-sqlite dovecot-core dovecot-imapd " +
        "dovecot-lmtpd dovecot-sqlite dovecot-sieve dovecot-managesieved sqlite3 openssl",
    );
  if (process.getuid?.() !== 0)
    return refuse("Postfix needs root. Run the tests as root, for instance in a container.");
  return { available: true };
}

/** Starts Dovecot and Postfix of a mailbox node. Throws their logs if they do not start. */
export async function startMailLab(options: MailLabOptions): Promise<MailLab> {
  const { out, mailRoot, dovecot = await installedDovecot() } = options;
  const cleartext = options.tls !== "shipped";
  openPathTo(out);
  openPathTo(mailRoot);
  chownSync(mailRoot, VMAIL, VMAIL);
  const names = ["smtp", "submission", "submissions", "imap", "imaps", "lmtp", "sieve"] as const;
  return onFreePorts(names, (ports) =>
    withFolder(["dovecot", "mailbox-node"], async (folder, postfix) => {
      const { smtp, submission, submissions } = ports;
      const spool = join(folder, "mailbox-node/spool");
      await makePostfixFolders(join(folder, "mailbox-node"));
      const logins = makeLogins(folder);
      // Dovecot first, because Postfix's submission ends at once without it.
      await startDovecot(
        dovecot,
        join(folder, "dovecot"),
        dovecotFiles(dovecot.version, { out, folder, spool }),
        overlay("dovecot.conf", {
          "@LAB@": folder,
          "@VMAIL@": `${VMAIL}`,
          "@IMAP@": `${ports.imap}`,
          "@IMAPS@": `${ports.imaps}`,
          "@LMTP@": `${ports.lmtp}`,
          "@SIEVE@": `${ports.sieve}`,
          "@SMTP@": `${smtp}`,
        }) + (cleartext ? overlay(`dovecot-${dovecot.version}-cleartext.conf`) : ""),
      );
      await startPostfix(join(folder, "mailbox-node"), {
        main: shipped("postfix-main.cf", {
          "/etc/ssl/m25-mail": folder,
          "127.0.0.1:8626": `127.0.0.1:${options.policyPort ?? 0}`,
          ...tablePaths(folder, "mailbox-node"),
        }),
        tables: tables(out, ["domains", "mailboxes", "aliases", "commands", "senders", "ready"]),
        mainSettings:
          overlay("postfix-main.cf", { "@LAB@": folder, "@INSTANCE@": "mailbox-node" }) +
          (cleartext ? overlay("postfix-main-cleartext.cf") : "") +
          (options.policyPort === undefined ? "mua_data_restrictions =\nmua_recipient_counter =\n" : ""),
        master: shipped("postfix-master.cf"),
        masterSettings: cleartext ? overlay("postfix-master-cleartext.cf") : "",
        ports: { smtp, submission, submissions },
      });
      const dovecotConfig = join(folder, "dovecot/dovecot.conf");
      const doveadm = (...args: readonly string[]) =>
        run(...dovecotCommand(dovecot, "/usr/bin/doveadm", "-c", dovecotConfig, ...args));
      return { ...postfix, ports, dovecotConfig, logins, doveadm };
    }),
  );
}

/** As m25-mail-node.tmpfiles.conf does. */
function makeLogins(folder: string): string {
  const logins = join(folder, "logins");
  mkdirSync(logins);
  chownSync(logins, VMAIL, 0);
  chmodSync(logins, 0o2750);
  return logins;
}

/** Starts the Postfix of an MX-only node, which relays to a mailbox node on loopback. */
export function startMxLab({ out, relayPort }: { out: string; relayPort: number }): Promise<MxLab> {
  openPathTo(out);
  return onFreePorts(["smtp"], (ports) =>
    withFolder(["mx-node"], async (folder, postfix) => {
      await makePostfixFolders(join(folder, "mx-node"));
      await startPostfix(join(folder, "mx-node"), {
        tables: tables(out, ["domains", "mailboxes", "aliases", "commands"]),
        main: shipped("postfix-mx.cf", {
          ...tablePaths(folder, "mx-node"),
          "/etc/ssl/m25-mail": folder,
          "[mail.example.nl]:25": `[127.0.0.1]:${relayPort}`,
        }),
        mainSettings: overlay("postfix-main.cf", { "@LAB@": folder, "@INSTANCE@": "mx-node" }),
        master: "",
        masterSettings: "",
        ports,
      });
      return { ...postfix, ports };
    }),
  );
}

/** Where main.cf finds the files by which Postfix asks the replica. */
function tablePaths(folder: string, instance: string): Record<string, string> {
  return { "/etc/postfix/m25-": join(folder, instance, "etc/m25-") };
}

function tables(out: string, names: readonly string[]): Record<string, string> {
  const text = (name: string) => shipped(`m25-${name}.cf`, { "/var/lib/m25-mail-node": out });
  return Object.fromEntries(names.map((name) => [`m25-${name}.cf`, text(name)]));
}

/** dovecot.conf, and what it includes by name. */
function dovecotFiles(
  version: Dovecot["version"],
  { out, folder, spool }: { out: string; folder: string; spool: string },
): Record<string, string> {
  const common = {
    "/etc/ssl/m25-mail": folder,
    "/var/spool/postfix": spool,
    "/var/lib/m25-mail-logins": join(folder, "logins"),
  };
  const node = { "/var/lib/m25-mail-node": out };
  const junk = join(folder, "dovecot/m25-junk.sieve");
  const rule = { "m25-junk.sieve": shipped("m25-junk.sieve") };
  Object.assign(common, { "/etc/dovecot/m25-junk.sieve": junk });
  if (version === "2.4")
    return { "dovecot.conf": shipped("dovecot-2.4.conf", { ...common, ...node }), ...rule };
  const sql = join(folder, "dovecot/m25-sql.conf.ext");
  return {
    "dovecot.conf": shipped("dovecot-2.3.conf", { ...common, "/etc/dovecot/m25-sql.conf.ext": sql }),
    "m25-sql.conf.ext": shipped("dovecot-2.3-sql.conf.ext", node),
    ...rule,
  };
}

/** Runs `start` in a folder of its own with a certificate; what it started is ended again should it throw. */
async function withFolder<Lab>(
  instances: readonly ["dovecot", "mailbox-node"] | readonly ["mx-node"],
  start: (folder: string, postfix: PostfixLab) => Promise<Lab>,
): Promise<Lab> {
  // A short path, because a Unix socket's path holds at most 107 bytes.
  const folder = mkdtempSync(join(tmpdir(), "m25-lab-"));
  const pidFiles = instances.map((instance) =>
    join(folder, instance, instance === "dovecot" ? "run/master.pid" : "spool/pid/master.pid"),
  );
  const cleanedUp = watchOver(folder, pidFiles);
  const postfixConfigDir = join(folder, instances.at(-1) ?? "", "etc");
  const postfix: PostfixLab = {
    postfixConfigDir,
    queue: () => queued(postfixConfigDir),
    flushQueue: async () => {
      await mustRun("/usr/sbin/postqueue", "-c", postfixConfigDir, "-f");
    },
    log: () =>
      instances.map((instance) => `== ${instance}\n${lastLines(join(folder, instance, "log"))}`).join(""),
    stop: async () => {
      // Postfix first, or it would log that Dovecot is gone.
      for (const file of pidFiles.toReversed()) await endDaemon(file);
      rmSync(folder, { recursive: true, force: true });
      cleanedUp();
    },
  };
  try {
    // The daemons' own users must reach their files in it.
    chmodSync(folder, 0o711);
    await makeCertificate(folder);
    return await start(folder, postfix);
  } catch (error) {
    const log = postfix.log();
    await postfix.stop();
    throw new Error(`${error}\n${log}`);
  }
}

async function makeCertificate(folder: string): Promise<void> {
  const key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"];
  const files = ["-keyout", join(folder, "privkey.pem"), "-out", join(folder, "fullchain.pem")];
  await mustRun("openssl", "req", "-x509", ...key, ...files, "-subj", "/CN=mail.example.nl", "-days", "2");
}

function lastLines(file: string): string {
  return existsSync(file) ? readFileSync(file, "utf8").split("\n").slice(-40).join("\n") : "";
}

/** Opens a test's folders below the temporary folder, which have mode 0700, to the daemons' users. */
function openPathTo(folder: string): void {
  if (relative(tmpdir(), folder).startsWith("..")) return;
  for (let path = folder; path !== tmpdir(); path = dirname(path))
    chmodSync(path, statSync(path).mode | 0o011);
}
