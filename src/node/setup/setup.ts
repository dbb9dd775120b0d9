import { readdir } from "node:fs/promises";
import { agreeOnCertificate, provideCertificate, readCertificate } from "../../machine/certificate.ts";
import { planEnvironment, setIn } from "../../machine/environment.ts";
import { ConfigurationError } from "../../machine/faults.ts";
import type { PlannedFile } from "../../machine/file-plan.ts";
import { findFile, Memory, planFiles, readText, writePlanned, writeText } from "../../machine/files.ts";
import { type Host, interruptible } from "../../machine/host.ts";
import { mustRun, runQuietly } from "../../machine/machine.ts";
import { readStatus } from "../commands/status.ts";
import type { SetupConfig } from "../config.ts";
import { dovecotVersion } from "../daemons/dovecot.ts";
import { KeyFolder } from "../dkim/folder.ts";
import { joinServer } from "../server/key.ts";
import { version } from "../version.ts";
import { findAnswers } from "./answers.ts";
import {
  type Answers,
  CERTIFICATE_FOLDER,
  configurations,
  JUNK_RULE,
  LEARN_RULES,
  LOCAL_CF,
  LOCAL_MASTER_CF,
  SIGNERS_FOLDER,
  type Sources,
} from "./configurations.ts";
import { isFromDebian } from "./debians.ts";
import { installFilter, startFilter, stopFilter } from "./filter.ts";

const MEMORY = "/var/lib/m25-mail-setup";
const SHARE = "/usr/share/m25-mail-node";
const NODE_ENV = "/etc/m25-mail/node.env";
const NODE_ENV_HEAD =
  "# `m25-mail-node run --help` lists all settings. The sync key is not here but in /etc/m25-mail-node/key.\n";
/** Where opendkim.conf reads the tables. */
const DKIM = "/var/lib/m25-mail-node/dkim";
/** Files of the manual way, which would be used in place of the package's. */
const BY_HAND = ["/usr/local/bin/m25-mail-node", "/etc/systemd/system/m25-mail-node.service"];
/** How long setup waits for the first state. It comes within a second of the start, or the server does not answer. */
const FIRST_STATE = 30_000;

/**
 * Makes this machine a node, or brings it up to date. Each step does nothing if it is done: after a fault or Ctrl-C, the next
 * run goes on.
 *
 * @throws UsageError, ConfigurationError, and what joinServer throws
 */
export async function setUp(given: Host, config: SetupConfig, signal: AbortSignal): Promise<void> {
  const host = interruptible(given, signal);
  const { machine } = host;
  if (!machine.root) throw new ConfigurationError("setup changes this machine's services: run it as root");
  const memory = new Memory(host, MEMORY);
  const sources = await readSources(host);
  const answers = await findAnswers(host, memory, config);
  await refuseLeftovers(host, answers);
  const files = await planNodesFiles(host, memory, { answers, sources, replace: config.replace });
  await memory.note("answers", `${JSON.stringify(answers)}\n`);
  if ((await readText(config.keyFile)) === undefined) await joinServer(config, { machine, version, signal });
  const restarts = await memory.restarts();
  const signs = sources.signs && answers.mailboxNode === undefined;
  const environment = planEnvironment(await readText(host.at(NODE_ENV)), NODE_ENV_HEAD, [
    ["M25_MAIL_SERVER", config.server.origin],
    ["M25_MAIL_CA", config.caFile],
    ["M25_MAIL_INSECURE_HTTP", config.insecureHttp ? "1" : undefined],
    ["M25_MAIL_DKIM", signs ? DKIM : undefined],
  ]);
  if (environment.do === "add") restarts.add("m25-mail-node");
  await memory.noteRestarts(restarts);
  if (environment.do !== "keep") await writeText(host.at(NODE_ENV), environment.text, 0o600);
  const place = {
    name: answers.hostName,
    folder: CERTIFICATE_FOLDER,
    reload: "systemctl try-reload-or-restart postfix dovecot",
  };
  await provideCertificate(host, await agreeOnCertificate(host, config, place), place);
  if (answers.filter) await installFilter(host);
  const certificate = (await readCertificate(host, CERTIFICATE_FOLDER))?.fingerprint256 ?? "";
  if ((await memory.recall("certificate")) !== certificate)
    for (const service of ["postfix", "dovecot"]) restarts.add(service);
  for (const { path } of files.filter((file) => !["keep", "leave"].includes(file.do)))
    restarts.add(serviceOf(path));
  await memory.noteRestarts(restarts);
  await writePlanned(host, memory, files);
  const isMx = answers.mailboxNode !== undefined;
  await start(host, { restarts, isMx, signs, learns: answers.filter, out: config.out, signal });
  if (answers.filter) await startFilter(host, restarts.has("rspamd"), signal);
  else await stopFilter(host, memory);
  await memory.note("certificate", certificate);
  await memory.noteRestarts(new Set());
}

/** The services whose files setup writes, by the beginnings of their paths. */
const services: ReadonlyArray<readonly [path: string, service: string]> = [
  ["/etc/postfix/", "postfix"],
  ["/etc/dovecot/", "dovecot"],
  ["/etc/opendkim.conf", "opendkim"],
  ["/etc/rspamd/", "rspamd"],
  ["/etc/tmpfiles.d/m25-mail-filter.conf", "rspamd"],
  ["/etc/tmpfiles.d/", "opendkim"],
  ["/etc/nftables.conf", "nftables"],
  ["/etc/fail2ban/", "fail2ban"],
];

/** The service that reads a file only when it starts. */
function serviceOf(path: string): string {
  return services.find(([beginning]) => path.startsWith(beginning))?.[1] ?? "postfix";
}

async function readSources(host: Host): Promise<Sources> {
  const names = await readdir(host.at(SHARE)).catch(() => []);
  if (names.length === 0)
    throw new ConfigurationError(`${SHARE} is missing: install the Debian package m25-mail-node`);
  const texts = names.map(
    async (name) => [name, (await readText(host.at(`${SHARE}/${name}`))) ?? ""] as const,
  );
  const shipped = Object.fromEntries(await Promise.all(texts));
  const masterCf = await readText(host.at("/usr/share/postfix/master.cf.dist"));
  if (masterCf === undefined)
    throw new ConfigurationError("Postfix is not installed (Debian: apt-get install postfix)");
  const [localCf = "", localMasterCf = ""] = await Promise.all(
    [LOCAL_CF, LOCAL_MASTER_CF].map((path) => readText(host.at(path))),
  );
  const [dovecot, signs, firewall, locks] = await Promise.all([
    findDovecot(host),
    mayUseSigner(host),
    findFirewall(host),
    hasFail2ban(host),
  ]);
  return { shipped, masterCf, localCf, localMasterCf, dovecot, signs, firewall, locks };
}

/** Debian installs nftables and leaves it off: rules are for a machine whose operator has turned it on. */
async function findFirewall({ machine, units }: Host): Promise<number[] | undefined> {
  if ((await machine.find("nft")) === undefined || !(await units.isActive("nftables"))) return undefined;
  const { stdout } = await runQuietly(machine, ["sshd", "-T"]);
  const ports = [...stdout.matchAll(/^port (\d+)$/gm)].map(([, port]) => Number(port));
  return ports.length === 0 ? [22] : ports;
}

/** The jails lock addresses out with nftables. */
async function hasFail2ban({ machine }: Host): Promise<boolean> {
  const programs = await Promise.all(["fail2ban-server", "nft"].map((name) => machine.find(name)));
  return !programs.includes(undefined);
}

/** False without opendkim, or if the operator has set another folder of keys, or none. */
async function mayUseSigner(host: Host): Promise<boolean> {
  if ((await host.machine.find("opendkim")) === undefined) return false;
  return [undefined, DKIM].includes(setIn(await readText(host.at(NODE_ENV)), "M25_MAIL_DKIM"));
}

async function findDovecot({ machine }: Host): Promise<Sources["dovecot"]> {
  const dovecot = await machine.find("dovecot");
  const found = dovecot && (await dovecotVersion(machine, dovecot));
  return (["2.3", "2.4"] as const).find((one) => found?.startsWith(one));
}

async function refuseLeftovers(host: Host, { server }: Answers): Promise<void> {
  for (const path of BY_HAND)
    if ((await readText(host.at(path))) !== undefined)
      throw new ConfigurationError(
        `${path} is from an installation by hand, and would be used in place of the package's. Remove ${BY_HAND.join(" and ")}, ` +
          "and run setup again",
      );
  const set = setIn(await readText(host.at(NODE_ENV)), "M25_MAIL_SERVER");
  if (set !== undefined && new URL(set).origin !== server)
    throw new ConfigurationError(
      `this node belongs to ${set}: --server is another. To move it, change M25_MAIL_SERVER in ${NODE_ENV}, remove the key file, ` +
        "and run setup again",
    );
}

async function planNodesFiles(
  host: Host,
  memory: Memory,
  { answers, sources, replace }: { answers: Answers; sources: Sources; replace: boolean },
): Promise<PlannedFile[]> {
  if (answers.mailboxNode === undefined && sources.dovecot === undefined)
    throw new ConfigurationError(
      "there is no Dovecot 2.3 or 2.4 (Debian: apt-get install dovecot-imapd dovecot-lmtpd dovecot-sieve dovecot-managesieved)",
    );
  const debians = (path: string, text: string) => isFromDebian(host, path, text);
  const files = configurations(answers, sources);
  const found = await Promise.all(files.map((file) => findFile(host, memory, file, debians)));
  const advice = `Put your own settings into ${LOCAL_CF}, ${LOCAL_MASTER_CF} or /etc/dovecot/local.conf`;
  return await planFiles(host, found, { replace, advice });
}

interface Start {
  restarts: ReadonlySet<string>;
  isMx: boolean;
  signs: boolean;
  learns: boolean;
  out: string;
  signal: AbortSignal;
}

/** The node first: its files must be there when Postfix and Dovecot are asked. Postfix makes the folder of Dovecot's sockets. */
async function start(host: Host, { restarts, isMx, signs, learns, out, signal }: Start): Promise<void> {
  const { machine, units } = host;
  await makeAliases(host);
  await mustRun(host.machine, ["postfix", "check"]);
  if (!isMx) {
    await mustRun(host.machine, ["doveconf", "-n"]);
    // Without -c, Dovecot 2.4 would ask the running one, which knows the former files.
    for (const rule of [JUNK_RULE, ...(learns ? LEARN_RULES : [])])
      await mustRun(host.machine, ["sievec", "-c", host.at("/etc/dovecot/dovecot.conf"), host.at(rule)]);
  }
  await units.start("m25-mail-node", restarts.has("m25-mail-node"));
  const until = machine.clock.monotonic() + FIRST_STATE;
  while (
    !(await readStatus(machine, out, version)).ready &&
    machine.clock.monotonic() < until &&
    !signal.aborted
  )
    await machine.clock.sleep(250, signal);
  await startFirewall(host, restarts);
  if (signs) await startSigner(host, restarts.has("opendkim"));
  await units.start("postfix", restarts.has("postfix"));
  if (isMx) await units.stop("dovecot");
  else await units.start("dovecot", restarts.has("dovecot"));
  await units.start("m25-mail-node-check.timer", false);
}

/** fail2ban's own table is gone once nftables has started anew. */
async function startFirewall({ units }: Host, restarts: ReadonlySet<string>): Promise<void> {
  if (restarts.has("nftables")) await units.start("nftables", true);
  if (restarts.has("fail2ban")) await units.start("fail2ban", true);
  else if (restarts.has("nftables")) await units.restartRunning("fail2ban");
}

async function startSigner(host: Host, again: boolean): Promise<void> {
  await mustRun(host.machine, ["systemd-tmpfiles", "--create", SIGNERS_FOLDER]);
  // opendkim does not start without its tables, and the server may be away.
  const folder = host.at(DKIM);
  if ((await readText(`${folder}/SigningTable`)) === undefined)
    await (await KeyFolder.open(host.machine, folder)).writeTables();
  await host.units.start("opendkim", again);
}

async function makeAliases(host: Host): Promise<void> {
  const path = host.at("/etc/aliases");
  if ((await readText(path)) === undefined) await writeText(path, "");
  if ((await readText(`${path}.lmdb`)) === undefined) await mustRun(host.machine, ["newaliases"]);
}
