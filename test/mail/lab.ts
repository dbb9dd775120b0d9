/**
 * Private Postfix and Dovecot on loopback for tests, from the configuration in deploy/ as it is shipped. Only the paths,
 * the ports and what a test cannot do with (DNS, log-in delays) are replaced, from test/mail/overlay/.
 * Each lab has a folder of its own; any number may run at once. Postfix needs root.
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
  utimesSync,
  writeFileSync,
} from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { dirname, join, relative } from "node:path";
import { endDaemon, type Finished, mustRun, run, startDaemon, watchOver } from "./processes.ts";

const DEPLOY = join(import.meta.dirname, "../../deploy");
const OVERLAY = join(import.meta.dirname, "overlay");
/** Owner of all mail in a lab; the shipped files call it vmail. */
export const VMAIL = 5000;

export interface MailLabOptions {
  /** Where m25-mail-node writes: `users` and the maps. May still be empty. */
  readonly out: string;
  /** The root of the homes that `users` names. */
  readonly mailRoot: string;
  /** `shipped`: a password only inside TLS, as in production. Default `optional`: TLS is there, but not demanded. */
  readonly tls?: "shipped" | "optional";
  /** Another Dovecot than the installed one. */
  readonly dovecot?: Dovecot;
}

export interface Dovecot {
  /** Which of the shipped configurations it gets. */
  readonly version: "2.3" | "2.4";
  /** The command and first arguments that make /usr/sbin/dovecot and /usr/bin/doveadm those of this Dovecot. */
  readonly enter: readonly string[];
}

export interface PostfixLab {
  readonly postfixConfigDir: string;
  /** What Postfix still holds: each recipient with the reason for the delay. */
  queue(): Promise<readonly QueuedRecipient[]>;
  /** Tries all that waits anew, now. */
  flushQueue(): Promise<void>;
  /** What the daemons logged last, to show when a test fails. */
  log(): string;
  /** Ends all daemons and removes the lab's folder (not `out`, not `mailRoot`). May be called twice. */
  stop(): Promise<void>;
}

export interface MailLab extends PostfixLab {
  readonly ports: Record<"smtp" | "submission" | "submissions" | "imap" | "imaps" | "lmtp", number>;
  /** For `doveadm -c` and `--dovecot-config`. */
  readonly dovecotConfig: string;
  doveadm(...args: readonly string[]): Promise<Finished>;
}

export interface MxLab extends PostfixLab {
  readonly ports: Record<"smtp", number>;
}

export interface QueuedRecipient {
  readonly address: string;
  readonly reason: string;
}

/** Whether a lab can be started here; if not, `message` is one line on what is skipped and what to do. */
export function mailDaemons():
  | { readonly available: true }
  | { readonly available: false; readonly message: string } {
  const refuse = (message: string) => ({
    available: false as const,
    message: `Mail tests are skipped: ${message}\n`,
  });
  if (process.platform !== "linux") return refuse("they run on Linux only.");
  const needed = [
    "/usr/sbin/postfix",
    "/usr/lib/postfix/postfix-lmdb.so",
    "/usr/sbin/dovecot",
    "/usr/lib/dovecot/lmtp",
  ];
  const missing = [...needed, "/usr/lib/dovecot/imap"].filter((path) => !existsSync(path));
  if (missing.length > 0)
    return refuse(
      `no ${missing[0]}. As root: echo "postfix postfix/main_mailer_type select No configuration" | debconf-set-selections; ` +
        "apt-get install -y --no-install-recommends postfix postfix-lmdb dovecot-core dovecot-imapd dovecot-lmtpd openssl",
    );
  if (process.getuid?.() !== 0)
    return refuse("Postfix needs root. Run the tests as root, for instance in a container.");
  return { available: true };
}

/** Starts Dovecot and Postfix of a mailbox node. Throws with their logs when they do not come up. */
export async function startMailLab(options: MailLabOptions): Promise<MailLab> {
  const { out, mailRoot, tls = "optional" } = options;
  openPathTo(out);
  openPathTo(mailRoot);
  chownSync(mailRoot, VMAIL, VMAIL);
  const dovecot = options.dovecot ?? { version: await installedVersion(), enter: [] };
  const dovecotCommand = (program: string): [string, ...string[]] => {
    const [first = program, ...rest] = [...dovecot.enter, program];
    return [first, ...rest];
  };

  return startOnFreePorts(["smtp", "submission", "submissions", "imap", "imaps", "lmtp"], async (ports) => {
    const folder = await createFolder(["dovecot/run/master.pid", "mailbox-node/spool/pid/master.pid"]);
    const { path, values } = folder;
    const spool = join(path, "mailbox-node/spool");
    const shippedPaths = { "/var/lib/m25-mail-node": out, "/etc/ssl/m25-mail": path };
    const upper = Object.fromEntries(
      Object.entries(ports).map(([name, port]) => [`@${name.toUpperCase()}@`, `${port}`]),
    );
    const dovecotConfig = join(path, "dovecot/dovecot.conf");

    mkdirSync(join(path, "dovecot"));
    writeFileSync(
      dovecotConfig,
      replaced(join(DEPLOY, `dovecot-${dovecot.version}.conf`), {
        ...shippedPaths,
        "/var/spool/postfix": spool,
      }),
    );
    // Where operators, too, put what differs: the shipped file includes it.
    writeFileSync(
      join(path, "dovecot/local.conf"),
      replaced(join(OVERLAY, "dovecot.conf"), {
        ...pick(upper, "IMAP", "IMAPS", "LMTP"),
        ...values,
        "@VMAIL@": `${VMAIL}`,
      }) +
        (tls === "shipped"
          ? ""
          : readFileSync(join(OVERLAY, `dovecot-${dovecot.version}-cleartext.conf`), "utf8")),
    );

    const postfixConfigDir = join(path, "mailbox-node/etc");
    await writePostfixConfig({
      directory: postfixConfigDir,
      main: replaced(join(DEPLOY, "postfix-main.cf"), shippedPaths),
      mainSettings:
        replaced(join(OVERLAY, "postfix-main.cf"), { ...values, "@INSTANCE@": "mailbox-node" }) +
        (tls === "shipped" ? "" : readFileSync(join(OVERLAY, "postfix-main-cleartext.cf"), "utf8")),
      master: readFileSync(join(DEPLOY, "postfix-master.cf"), "utf8"),
      masterSettings:
        tls === "shipped" ? "" : readFileSync(join(OVERLAY, "postfix-master-cleartext.cf"), "utf8"),
      ports: { smtp: ports.smtp, submission: ports.submission, submissions: ports.submissions },
    });

    const postfix = postfixLab(postfixConfigDir, folder, ["dovecot/log", "mailbox-node/log"]);
    const lab: MailLab = {
      ...postfix,
      ports,
      dovecotConfig,
      doveadm: (...args) => run(...dovecotCommand("/usr/bin/doveadm"), "-c", dovecotConfig, ...args),
    };
    try {
      // Postfix's submission needs Dovecot's socket when it starts. Both commands return once the ports are bound.
      await startDaemon(
        join(path, "dovecot/output"),
        ...dovecotCommand("/usr/sbin/dovecot"),
        "-c",
        dovecotConfig,
      );
      await startDaemon(
        join(path, "mailbox-node/output"),
        "/usr/sbin/postfix",
        "-c",
        postfixConfigDir,
        "start",
      );
      return lab;
    } catch (error) {
      const log = lab.log();
      await lab.stop();
      throw new Error(`${error}\n${log}`);
    }
  });
}

/** Starts the Postfix of an MX-only node, which relays to a mailbox node on loopback. */
export async function startMxLab(options: {
  readonly out: string;
  readonly relayPort: number;
}): Promise<MxLab> {
  openPathTo(options.out);
  return startOnFreePorts(["smtp"], async (ports) => {
    const folder = await createFolder(["mx-node/spool/pid/master.pid"]);
    const postfixConfigDir = join(folder.path, "mx-node/etc");
    await writePostfixConfig({
      directory: postfixConfigDir,
      main: replaced(join(DEPLOY, "postfix-mx.cf"), {
        "/var/lib/m25-mail-node": options.out,
        "/etc/ssl/m25-mail": folder.path,
        "[mail.example.nl]:25": `[127.0.0.1]:${options.relayPort}`,
      }),
      mainSettings: replaced(join(OVERLAY, "postfix-main.cf"), { ...folder.values, "@INSTANCE@": "mx-node" }),
      master: "",
      masterSettings: "",
      ports,
    });
    const lab: MxLab = { ...postfixLab(postfixConfigDir, folder, ["mx-node/log"]), ports };
    try {
      await startDaemon(
        join(folder.path, "mx-node/output"),
        "/usr/sbin/postfix",
        "-c",
        postfixConfigDir,
        "start",
      );
      return lab;
    } catch (error) {
      const log = lab.log();
      await lab.stop();
      throw new Error(`${error}\n${log}`);
    }
  });
}

interface Folder {
  readonly path: string;
  readonly values: Record<"@LAB@", string>;
  readonly pidFiles: readonly string[];
  readonly cleanedUp: () => void;
}

async function createFolder(pidFiles: readonly string[]): Promise<Folder> {
  // Short: the path of a Unix socket holds 107 bytes.
  const path = mkdtempSync(join(tmpdir(), "m25-lab-"));
  const files = pidFiles.map((file) => join(path, file));
  const cleanedUp = watchOver(path, files);
  // The daemons' own users must reach their files in it.
  chmodSync(path, 0o711);
  const names = [
    "-keyout",
    join(path, "privkey.pem"),
    "-out",
    join(path, "fullchain.pem"),
    "-subj",
    "/CN=mail.example.nl",
  ];
  const kind = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"];
  await mustRun("openssl", "req", "-x509", ...kind, ...names);
  return { path, values: { "@LAB@": path }, pidFiles: files, cleanedUp };
}

function postfixLab(postfixConfigDir: string, folder: Folder, logs: readonly string[]): PostfixLab {
  return {
    postfixConfigDir,
    queue: async () => {
      const lines = (await mustRun("/usr/sbin/postqueue", "-c", postfixConfigDir, "-j"))
        .split("\n")
        .filter(Boolean);
      return lines.flatMap((line) => queuedRecipients(JSON.parse(line)));
    },
    flushQueue: async () => {
      await mustRun("/usr/sbin/postqueue", "-c", postfixConfigDir, "-f");
    },
    log: () =>
      logs
        .map((file) => join(folder.path, file))
        .filter(existsSync)
        .map(
          (file) =>
            `== ${relative(folder.path, file)}\n${readFileSync(file, "utf8").split("\n").slice(-40).join("\n")}`,
        )
        .join(""),
    stop: async () => {
      // Postfix first, or it would log that Dovecot is gone.
      for (const file of folder.pidFiles.toReversed()) await endDaemon(file);
      rmSync(folder.path, { recursive: true, force: true });
      folder.cleanedUp();
    },
  };
}

/** One line of `postqueue -j` (postqueue(1)). */
function queuedRecipients(entry: unknown): QueuedRecipient[] {
  if (
    typeof entry !== "object" ||
    entry === null ||
    !("recipients" in entry) ||
    !Array.isArray(entry.recipients)
  )
    return [];
  return entry.recipients.map((recipient: { address: string; delay_reason?: string }) => ({
    address: recipient.address,
    reason: recipient.delay_reason ?? "",
  }));
}

async function writePostfixConfig(config: {
  readonly directory: string;
  readonly main: string;
  /** Lines for `postconf -e`. */
  readonly mainSettings: string;
  /** Appended to Debian's own master.cf, as the operator does. */
  readonly master: string;
  /** Lines for `postconf -P`. */
  readonly masterSettings: string;
  readonly ports: Record<string, number>;
}): Promise<void> {
  const { directory, ports } = config;
  const spool = join(directory, "../spool");
  const data = join(directory, "../data");
  mkdirSync(directory, { recursive: true });
  mkdirSync(join(spool, "private"), { recursive: true, mode: 0o755 });
  mkdirSync(data, { mode: 0o700 });
  const uid = Number(await mustRun("id", "-u", "postfix"));
  chownSync(data, uid, 0);
  chownSync(join(spool, "private"), uid, 0);
  chmodSync(join(spool, "private"), 0o700);

  const mainFile = join(directory, "main.cf");
  const masterFile = join(directory, "master.cf");
  writeFileSync(mainFile, config.main);
  writeFileSync(masterFile, readFileSync("/usr/share/postfix/master.cf.dist", "utf8") + config.master);
  const settings = (text: string) => text.split("\n").filter((line) => line !== "" && !line.startsWith("#"));
  const inMaster = settings(config.masterSettings);
  await mustRun("postconf", "-c", directory, "-e", ...settings(config.mainSettings));
  if (inMaster.length > 0) await mustRun("postconf", "-c", directory, "-P", ...inMaster);
  const onLoopback = Object.entries(ports).reduce(
    (text, [service, port]) =>
      text.replace(new RegExp(`^${service}(\\s+inet\\s)`, "m"), `127.0.0.1:${port}$1`),
    readFileSync(masterFile, "utf8"),
  );
  writeFileSync(masterFile, onLoopback);
  // Every Postfix program dozes until its main.cf is two seconds old.
  const minuteAgo = Date.now() / 1000 - 60;
  utimesSync(mainFile, minuteAgo, minuteAgo);
}

/** The text of a file with each key replaced by its value. Throws for a key that does not occur: the file has moved on. */
function replaced(file: string, values: Readonly<Record<string, string>>): string {
  let text = readFileSync(file, "utf8");
  for (const [key, value] of Object.entries(values)) {
    if (!text.includes(key)) throw new Error(`${file} does not contain ${key}`);
    text = text.replaceAll(key, value);
  }
  return text;
}

function pick(values: Readonly<Record<string, string>>, ...names: readonly string[]): Record<string, string> {
  return Object.fromEntries(Object.entries(values).filter(([key]) => names.includes(key.slice(1, -1))));
}

async function installedVersion(): Promise<"2.3" | "2.4"> {
  return (await mustRun("/usr/sbin/dovecot", "--version")).startsWith("2.3") ? "2.3" : "2.4";
}

/** Lets the daemons' users pass through the folders that a test made for itself, mode 0700, below the temporary folder. */
function openPathTo(folder: string): void {
  if (relative(tmpdir(), folder).startsWith("..")) return;
  for (let path = folder; path !== tmpdir(); path = dirname(path))
    chmodSync(path, statSync(path).mode | 0o011);
}

/**
 * Runs `start` with ports that the system names as free. Another program may take one before the daemon does, who then
 * says so and ends: up to three times, with new ports.
 */
async function startOnFreePorts<Name extends string, Lab>(
  names: readonly Name[],
  start: (ports: Record<Name, number>) => Promise<Lab>,
): Promise<Lab> {
  for (let attempt = 1; ; attempt += 1) {
    const ports = await freePorts(names);
    try {
      return await start(ports);
    } catch (error) {
      if (attempt === 3 || !/address already in use/i.test(String(error))) throw error;
    }
  }
}

async function freePorts<Name extends string>(names: readonly Name[]): Promise<Record<Name, number>> {
  // Held open together, so that no two are the same.
  const held = await Promise.all(
    names.map(async (name) => {
      const server = createServer();
      await new Promise<void>((resolve, reject) => {
        server.once("error", reject).listen(0, "127.0.0.1", resolve);
      });
      const address = server.address();
      if (address === null || typeof address === "string") throw new Error("no port");
      return { name, server, port: address.port };
    }),
  );
  await Promise.all(held.map(({ server }) => new Promise((resolve) => server.close(resolve))));
  return Object.fromEntries(held.map(({ name, port }) => [name, port])) as Record<Name, number>;
}
