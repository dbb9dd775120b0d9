import { readdir } from "node:fs/promises";
import { readStatus } from "../commands/status.ts";
import type { SetupConfig } from "../config.ts";
import { dovecotVersion } from "../daemons/dovecot.ts";
import { ConfigurationError, onOneLine } from "../faults.ts";
import { runQuietly } from "../machine.ts";
import { joinServer } from "../server/key.ts";
import { version } from "../version.ts";
import { findAnswers } from "./answers.ts";
import { provideCertificate, readCertificate } from "./certificate.ts";
import { type Answers, configurations, LOCAL_CF, LOCAL_MASTER_CF, type Sources } from "./configurations.ts";
import { type PlannedFile, planFile } from "./file-plan.ts";
import { difference, findFile, Memory, readText, writePlanned, writeText } from "./files.ts";
import type { Host } from "./host.ts";

const SHARE = "/usr/share/m25-mail-node";
const NODE_ENV = "/etc/m25-mail/node.env";
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
export async function setUp(host: Host, config: SetupConfig, signal: AbortSignal): Promise<void> {
  const { machine } = host;
  if (!machine.root) throw new ConfigurationError("setup changes this machine's services: run it as root");
  const memory = new Memory(host);
  const sources = await readSources(host);
  const answers = await findAnswers(host, memory, config);
  await refuseLeftovers(host, answers);
  const planned = await planFiles(host, memory, { answers, sources, replace: config.replace });
  await memory.note("answers", `${JSON.stringify(answers)}\n`);
  if ((await readText(config.keyFile)) === undefined) await joinServer(config, { machine, version, signal });
  await writeEnvironment(host, config);
  await provideCertificate(host, config, answers.hostName);
  const certificate = (await readCertificate(host))?.fingerprint256 ?? "";
  const restarts = await memory.restarts();
  if ((await memory.recall("certificate")) !== certificate)
    for (const service of ["postfix", "dovecot"]) restarts.add(service);
  for (const { path } of planned.filter((file) => file.do !== "keep"))
    restarts.add(path.startsWith("/etc/dovecot/") ? "dovecot" : "postfix");
  await memory.noteRestarts(restarts);
  await writePlanned(host, memory, planned);
  await start(host, { restarts, isMx: answers.mailboxNode !== undefined, out: config.out, signal });
  await memory.note("certificate", certificate);
  await memory.noteRestarts(new Set());
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
  return { shipped, masterCf, localCf, localMasterCf, dovecot: await findDovecot(host) };
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
  const set = /^M25_MAIL_SERVER=["']?([^"'\n]*)/m.exec((await readText(host.at(NODE_ENV))) ?? "")?.[1];
  if (set !== undefined && new URL(set).origin !== server)
    throw new ConfigurationError(
      `this node belongs to ${set}: --server is another. To move it, change M25_MAIL_SERVER in ${NODE_ENV}, remove the key file, ` +
        "and run setup again",
    );
}

/** @throws ConfigurationError if a file would be lost, after it has shown the difference */
async function planFiles(
  host: Host,
  memory: Memory,
  { answers, sources, replace }: { answers: Answers; sources: Sources; replace: boolean },
): Promise<PlannedFile[]> {
  if (answers.mailboxNode === undefined && sources.dovecot === undefined)
    throw new ConfigurationError(
      "there is no Dovecot 2.3 or 2.4 (Debian: apt-get install dovecot-imapd dovecot-lmtpd)",
    );
  const files = configurations(answers, sources);
  const planned = await Promise.all(files.map(async (file) => planFile(await findFile(host, memory, file))));
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
        `Put your own settings into ${LOCAL_CF}, ${LOCAL_MASTER_CF} or /etc/dovecot/local.conf, ` +
        "then run it again with --replace: a copy of each file stays",
    );
  return planned.map((file) => (file.do === "ask" ? { ...file, do: "replace" } : file));
}

/** Makes node.env. If it is there already, it is the operator's. */
async function writeEnvironment(host: Host, { server, caFile, insecureHttp }: SetupConfig): Promise<void> {
  if ((await readText(host.at(NODE_ENV))) !== undefined) return;
  const lines = [
    "# `m25-mail-node run --help` lists all settings. The sync key is not here but in /etc/m25-mail-node/key.",
    `M25_MAIL_SERVER=${server.origin}`,
    ...(caFile === undefined ? [] : [`M25_MAIL_CA=${caFile}`]),
    ...(insecureHttp ? ["M25_MAIL_INSECURE_HTTP=1"] : []),
  ];
  await writeText(host.at(NODE_ENV), `${lines.join("\n")}\n`, 0o600);
}

interface Start {
  restarts: ReadonlySet<string>;
  isMx: boolean;
  out: string;
  signal: AbortSignal;
}

/** The node first: its files must be there when Postfix and Dovecot are asked. Postfix makes the folder of Dovecot's sockets. */
async function start(host: Host, { restarts, isMx, out, signal }: Start): Promise<void> {
  const { machine, units } = host;
  await makeAliases(host);
  await mustAccept(host, ["postfix", "check"]);
  if (!isMx) await mustAccept(host, ["doveconf", "-n"]);
  await units.start("m25-mail-node", false);
  const until = machine.clock.monotonic() + FIRST_STATE;
  while (
    !(await readStatus(machine, out, version)).ready &&
    machine.clock.monotonic() < until &&
    !signal.aborted
  )
    await machine.clock.sleep(250, signal);
  await units.start("postfix", restarts.has("postfix"));
  if (isMx) await units.stop("dovecot");
  else await units.start("dovecot", restarts.has("dovecot"));
}

async function makeAliases(host: Host): Promise<void> {
  const path = host.at("/etc/aliases");
  if ((await readText(path)) === undefined) await writeText(path, "");
  if ((await readText(`${path}.lmdb`)) === undefined) await mustAccept(host, ["newaliases"]);
}

async function mustAccept({ machine }: Host, command: readonly string[]): Promise<void> {
  const { code, stderr } = await runQuietly(machine, command, 60_000);
  if (code !== 0) throw new ConfigurationError(`${command.join(" ")} failed: ${onOneLine(stderr)}`);
}
