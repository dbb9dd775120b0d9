import { createHash } from "node:crypto";
import { existsSync, readFileSync, realpathSync } from "node:fs";
import { readdir, rename, rm, symlink } from "node:fs/promises";
import { join } from "node:path";
import { serviceSettings } from "../../command-line/environment-file.ts";
import { agreeOnCertificate, provideCertificate, readCertificate } from "../../machine/certificate.ts";
import { planEnvironment, setIn } from "../../machine/environment.ts";
import { ConfigurationError } from "../../machine/faults.ts";
import type { PlannedFile } from "../../machine/file-plan.ts";
import {
  findFile,
  isConffile,
  Memory,
  planFiles,
  readText,
  writePlanned,
  writeText,
} from "../../machine/files.ts";
import { type Host, interruptible } from "../../machine/host.ts";
import { mustRun } from "../../machine/machine.ts";
import { findAnswers, type Wishes } from "./answers.ts";
import { healthOf, type Listener } from "./check.ts";
import {
  ADVICE,
  type Answers,
  CADDYFILE,
  CERTIFICATE_FOLDER,
  configurations,
  NGINX_SITE,
  OWN_TLS,
} from "./configurations.ts";
import { findContent, provideContent, type WithDatabase } from "./content.ts";
import type { Program } from "./program.ts";
import { refuseTakenPorts, startProxy } from "./proxy.ts";

const MEMORY = "/var/lib/m25-mail-server-setup";
const COMMAND = "/usr/local/bin/m25-mail";
/** How long setup waits for the server's first answer. */
const FIRST_ANSWER = 60_000;

/** What setup finds. */
export interface Given {
  program: Program;
  withDatabase: WithDatabase;
}

export interface Done {
  answers: Answers;
  own: Listener;
  publicUrl: string;
}

/**
 * Makes this machine the server, or brings it up to date. Each step does nothing if it is done: after a fault or Ctrl-C, the next
 * run goes on.
 *
 * @throws UsageError, ConfigurationError, MailError
 */
export async function setUpServer(
  given: Host,
  wishes: Wishes,
  { program, withDatabase }: Given,
  signal: AbortSignal,
): Promise<Done> {
  const host = interruptible(given, signal);
  const memory = new Memory(host, MEMORY);
  const settings = host.at(serviceSettings.server);
  const publicUrl = setIn(await readText(settings), "M25_MAIL_PUBLIC_URL");
  const answers = await findAnswers(host, memory, wishes, publicUrl);
  const shipped = await readShipped(program);
  const files = await planServersFiles(host, memory, { answers, shipped, replace: wishes.replace });
  await refuseOtherCommand(host, program, wishes.replace);
  await refuseTakenPorts(host, answers.proxy, listenerOf(await readText(settings), answers).port);
  const place = placeOf(answers);
  const agreed = place === undefined ? wishes : await agreeOnCertificate(host, wishes, place);
  const content = await findContent(host, memory, wishes, withDatabase);
  await memory.note("answers", `${JSON.stringify(answers)}\n`);

  if (place !== undefined) await provideCertificate(host, agreed, place);
  const environment = planEnvironment(await readText(settings), shipped["server.env"] ?? "", [
    ["M25_MAIL_PUBLIC_URL", `https://${answers.hostName}`],
    ["M25_MAIL_TRUSTED_PROXIES", answers.proxy === "none" ? undefined : "127.0.0.1,::1"],
  ]);
  const changed = files.filter((file) => file.do !== "keep").map(({ path }) => serviceOf(path));
  const state = await stateOf(host, program, `${answers.proxy}\n${environment.text}`);
  if ((await memory.recall("state")) !== state)
    changed.push("m25-mail", ...(place === undefined ? [] : [answers.proxy]));
  const restarts = new Set([...(await memory.restarts()), ...changed]);
  await memory.noteRestarts(restarts);
  if (environment.do !== "keep") await writeText(settings, environment.text, 0o600);
  await linkCommand(host, program);
  await writePlanned(host, memory, files);
  if (answers.proxy !== "none" && existsSync(host.at(OWN_TLS))) {
    await rm(host.at(OWN_TLS));
    host.machine.log(`${OWN_TLS}: removed`);
  }
  const own = listenerOf(environment.text, answers);
  await start(host, { answers, own, program, restarts, signal });
  await withDatabase((runtime) => provideContent(host, memory, content, runtime));
  await memory.note("state", state);
  await memory.noteRestarts(new Set());
  return { answers, own, publicUrl: setIn(environment.text, "M25_MAIL_PUBLIC_URL") ?? "" };
}

async function readShipped({ folder }: Program): Promise<Record<string, string>> {
  const names = await readdir(join(folder, "deploy"));
  const texts = names.map(
    async (name) => [name, (await readText(join(folder, "deploy", name))) ?? ""] as const,
  );
  return Object.fromEntries(await Promise.all(texts));
}

async function planServersFiles(
  host: Host,
  memory: Memory,
  {
    answers,
    shipped,
    replace,
  }: { answers: Answers; shipped: Readonly<Record<string, string>>; replace: boolean },
): Promise<PlannedFile[]> {
  const isDebians = async (path: string, text: string) =>
    path === CADDYFILE && (await isConffile(host, "caddy", path, text));
  const files = configurations(answers, shipped);
  const found = await Promise.all(files.map((file) => findFile(host, memory, file, isDebians)));
  return await planFiles(host, found, { replace, advice: ADVICE });
}

/** The certificate that setup provides; undefined where the proxy has its own. */
function placeOf({ hostName, proxy, caddy }: Answers) {
  if (proxy === "other" || (proxy === "caddy" && caddy.certificate !== "from files")) return undefined;
  return {
    name: hostName,
    folder: CERTIFICATE_FOLDER,
    reload: proxy === "none" ? "systemctl try-restart m25-mail" : `systemctl reload ${proxy}`,
    stopped: proxy === "nginx" ? "nginx" : undefined,
  };
}

function listenerOf(settings: string | undefined, { proxy }: Answers): Listener {
  const tls = proxy === "none" || setIn(settings, "M25_MAIL_TLS_CERT") !== undefined;
  const port = setIn(settings, "M25_MAIL_PORT");
  return { tls, port: Number(port ?? (proxy === "none" ? 443 : 8625)) };
}

/** The service that reads a file only when it starts. */
function serviceOf(path: string): string {
  if (path === CADDYFILE) return "caddy";
  return path === NGINX_SITE ? "nginx" : "m25-mail";
}

/** A hash of all that the services read at their start besides the planned files: another one calls for a restart. */
async function stateOf(host: Host, { folder }: Program, settings: string): Promise<string> {
  const program = readFileSync(join(folder, "dist/m25-mail.js"));
  const certificate = (await readCertificate(host, CERTIFICATE_FOLDER))?.fingerprint256 ?? "";
  return createHash("sha256").update(program).update(certificate).update(settings).digest("hex");
}

/** @throws ConfigurationError if the command is there and leads to another program */
async function refuseOtherCommand(host: Host, { command }: Program, replace: boolean): Promise<void> {
  const path = host.at(COMMAND);
  if (replace || !existsSync(path) || realpathSync(path) === command) return;
  throw new ConfigurationError(
    `${COMMAND} leads to ${realpathSync(path)}, which is another program. To let it lead here, run setup with --replace`,
  );
}

async function linkCommand(host: Host, { command }: Program): Promise<void> {
  const path = host.at(COMMAND);
  if (existsSync(path) && realpathSync(path) === command) return;
  await rm(`${path}.new`, { force: true });
  await symlink(command, `${path}.new`);
  await rename(`${path}.new`, path);
}

interface Start {
  answers: Answers;
  own: Listener;
  program: Program;
  restarts: ReadonlySet<string>;
  signal: AbortSignal;
}

async function start(host: Host, { answers, own, program, restarts, signal }: Start): Promise<void> {
  const { machine, units } = host;
  await mustRun(machine, ["systemd-sysusers", "m25-mail.conf"]);
  await mustRun(machine, [
    "runuser",
    "-u",
    "m25-mail",
    "--",
    "test",
    "-r",
    join(program.folder, "dist/m25-mail.js"),
  ]);
  await units.start("m25-mail", restarts.has("m25-mail"));
  const until = machine.clock.monotonic() + FIRST_ANSWER;
  for (;;) {
    const { fault } = await healthOf("127.0.0.1", own, answers.hostName);
    if (fault === undefined) break;
    signal.throwIfAborted();
    if (machine.clock.monotonic() > until)
      throw new ConfigurationError(`the server does not start: ${fault}. See: journalctl -u m25-mail -n 30`);
    await machine.clock.sleep(250, signal);
  }
  await startProxy(host, answers.proxy, restarts.has(answers.proxy));
}
