import { copyDatabase } from "../../db/copy.ts";
import { addressProblem, isPostgresql } from "../../db/location.ts";
import { isNewFile, openDatabase } from "../../db/open.ts";
import { backUp } from "../../db/sqlite/backup.ts";
import { exportState } from "../../db/sqlite/export.ts";
import { type RestorePlan, restore } from "../../db/sqlite/restore.ts";
import { toolsFor } from "../../tools/call/authorise.ts";
import type { Runtime } from "../../tools/call/call.ts";
import { CallLimits } from "../../tools/call/call-limits.ts";
import { PasswordHasher } from "../../tools/call/password-hash.ts";
import { operator, type Principal } from "../../tools/call/principal.ts";
import { offeredTools } from "../../tools/sets/index.ts";
import { serviceSettings, variablesIn } from "../command-line/environment-file.ts";
import type { FlagValues } from "../command-line/flags.ts";
import { UsageError } from "../command-line/usage-error.ts";
import { parseArguments } from "../doors/cli/arguments.ts";
import { exitCodeOf, exitCodes } from "../doors/cli/exit.ts";
import { commandHelp, help, helpAtHand } from "../doors/cli/help.ts";
import { OutputFailure, showProgress, writeOut } from "../doors/cli/output.ts";
import { confirmRestore } from "../doors/cli/restore-plan.ts";
import { showRefusal } from "../doors/cli/run-tool.ts";
import { presentation } from "../doors/cli/show.ts";
import { unknownCommand } from "../doors/cli/unknown.ts";
import { type Usage, usageFor } from "../doors/cli/usage.ts";
import { isRepaired } from "../doors/utf8.ts";
import { callFields } from "../log/call-log.ts";
import { jsonLog } from "../log/json-log.ts";
import { type Log, logFailure, stderrLog } from "../log/log.ts";
import { ConfigurationError } from "../machine/faults.ts";
import { MailError } from "../mail/error.ts";
import { defaultDatabase, type StoreConfig, serveConfig, stdioConfig, storeConfig } from "./config.ts";
import { builtNodePackage } from "./node-package.ts";
import { version } from "./version.ts";

/** As m25-mail.service sets it. */
const SERVICE_DATABASE = "/var/lib/m25-mail/m25-mail.db";

const log = stderrLog();
process.stdout.on("error", () => {}); // each write reports its own error

const typed = process.argv.slice(2);
process.exitCode = await main(typed).catch(failure);

async function main(words: string[]): Promise<number> {
  const [command = "--help", ...argv] = words;
  if (words.some(isRepaired)) throw new UsageError("An argument is not valid UTF-8.");
  if (command === "--help" || command === "help") return print(await help());
  if (command === "--version" || argv.includes("--version")) return print(`m25-mail ${version}\n`);
  if (argv.includes("--help")) return print(await commandHelp(words));
  const usage = usageFor(words);
  switch (usage?.name) {
    case "completion":
      return print(await (await import("../doors/cli/completion.ts")).completion());
    case "serve":
      return serveCommand(usage, argv);
    case "stdio":
      return stdioCommand(usage, argv);
    case "setup":
      return setupCommand(usage, argv);
    case "backup":
      return backupCommand(usage, argv);
    case "restore":
      return restoreCommand(usage, argv);
    case "export":
      return exportCommand(usage, argv);
    case "migrate":
      return migrateCommand(usage, argv);
    default:
      return databaseCommand(words);
  }
}

/** At the shell the service's settings hold too: its database, and the address that links and new nodes need. */
function shellVariables(): NodeJS.ProcessEnv {
  return { ...variablesIn(serviceSettings.server), ...process.env };
}

async function databaseCommand(words: readonly string[]): Promise<number> {
  // Loaded only here: the operator's commands are half of the program, and would slow the start of stdio and serve.
  const { storeCommand } = await import("../doors/cli/commands.ts");
  const found = await storeCommand(words);
  if (found === undefined) throw unknownCommand(words);
  const config = storeConfig(found.values, shellVariables());
  const store = await openDatabase(config.db, { create: false, passwordFile: config["db-password-file"] });
  try {
    return await found.run(runtimeOf(store, config, await openLog(config)));
  } finally {
    await store.close();
  }
}

/** Opens a server's database, or creates it. */
async function openOrMake(
  { db, "db-password-file": passwordFile }: StoreConfig,
  log: Log,
): Promise<Runtime["store"]> {
  const isNew = isNewFile(db);
  const store = await openDatabase(db, { create: true, passwordFile });
  if (isNew) log.info(`made a new database ${db}`);
  return store;
}

function runtimeOf(store: Runtime["store"], config: StoreConfig, log: Log): Runtime {
  const hasher = new PasswordHasher(config["hash-cost"]);
  return {
    store,
    now: () => new Date(),
    hashPassword: (password, principal) => hasher.hash(password, principal),
    reportFailure: (message, cause, request) => logFailure(log, message, cause, { request }),
    settings: {
      publicUrl: config["public-url"],
      nameServer: config["name-server"],
      nodePackageSum: () => builtNodePackage()?.sum,
    },
  };
}

async function openLog(config: Pick<StoreConfig, "log-format" | "log-level">): Promise<Log> {
  if (config["log-format"] === "text") return stderrLog(config["log-level"]);
  return jsonLog(config["log-level"]);
}

async function serveCommand(usage: Usage, argv: readonly string[]): Promise<number> {
  const config = serveConfig(parseArguments(usage, argv).values, process.env);
  // Loaded only here: the HTTP stack takes longer to load than all the rest.
  const { serve } = await import("./serve.ts");
  const { firstSteps, refuseLeftover } = await import("./first-token.ts");
  const stop = stopSignal();
  const log = await openLog(config);
  if (isNewFile(config.db)) refuseLeftover(config.db, config.folder);
  const store = await openOrMake(config, log);
  const server = await serve(config, runtimeOf(store, config, log), log).catch(endWith);
  if (server.isFirstStart) {
    const shell = process.env.npm_lifecycle_event === "start" ? "npx node dist/m25-mail.js" : "m25-mail";
    const db = config.db === defaultDatabase(process.env) ? "" : ` --db ${config.db}`;
    for (const step of firstSteps(config["public-url"] ?? server.url, shell, db)) log.info(step);
  }
  await stop;
  await server.close();
  return endNow();
}

async function stdioCommand(usage: Usage, argv: readonly string[]): Promise<number> {
  const config = stdioConfig(parseArguments(usage, argv).values, process.env);
  const principal: Principal = { ...operator("stdio"), scopes: config.scopes, domains: config.domains };
  const offered = await offeredTools(config.tools, config["read-only"]);
  if (toolsFor(principal, offered).length === 0) {
    throw new UsageError("--read-only and --scopes together leave no tool: name read in --scopes.");
  }
  const log = await openLog(config);
  const { serveMcpStdio } = await import("../doors/mcp/stdio.ts");
  const stop = stopSignal();
  const store = await openOrMake(config, log);
  const runtime: Runtime = {
    ...runtimeOf(store, config, log),
    // Without --scopes the client may do all that the operator may. The limit protects against a confused assistant.
    limits: new CallLimits({ destructive: config["limit-destructive"] }),
    // Logged at debug only: a client that never reads stderr would block the server once the pipe is full.
    observe: (call) => log.debug("call", callFields(call)),
  };
  const connection = serveMcpStdio(runtime, offered, principal, log);
  await Promise.race([stop, connection.closed]);
  await connection.close();
  await store.close();
  return endNow();
}

async function setupCommand(usage: Usage, argv: readonly string[]): Promise<number> {
  const { values } = parseArguments(usage, argv);
  const { runSetup } = await import("./setup/run.ts");
  const stop = new AbortController();
  void stopSignal().then(() => stop.abort());
  return runSetup(
    values,
    async (use) => {
      // The service's own settings, and none of the shell's.
      const variables = variablesIn(serviceSettings.server);
      const config = storeConfig({ db: variables.M25_MAIL_DB ?? SERVICE_DATABASE }, variables);
      if (isNewFile(config.db)) return undefined;
      const passwordFile = config["db-password-file"];
      const store = await openDatabase(config.db, { create: false, passwordFile });
      try {
        return await use(runtimeOf(store, config, log));
      } finally {
        await store.close();
      }
    },
    stop.signal,
  );
}

async function backupCommand(usage: Usage, argv: readonly string[]): Promise<number> {
  const { values, db, file } = databaseFileAndFile(usage, argv);
  const progress = (copied: number, all: number) =>
    showProgress(`${Math.floor((100 * copied) / Math.max(all, 1))}% is copied`);
  const replaced = await backUp(db, file, progress).finally(() => showProgress(""));
  const words = `${db} is copied to ${file}${replaced ? ", in place of the older backup there" : ""}`;
  return printResult(values, { database: db, file, replaced }, words);
}

async function restoreCommand(usage: Usage, argv: readonly string[]): Promise<number> {
  const { values, db, file } = databaseFileAndFile(usage, argv);
  const stop = new AbortController();
  const approve = async (plan: RestorePlan) => {
    if (values.yes !== true && plan.now.domains > 0) await confirmRestore(plan, file);
    void stopSignal().then(() => stop.abort()); // at the question, Ctrl-C is a no
  };
  const options = { approve, stop: stop.signal, progress: showRestored };
  const restored = await restore(db, file, options).finally(() => showProgress(""));
  const { domains, mailboxes, softDeleted, changedAt, former } = restored;
  const counts = { domains, mailboxes, soft_deleted: softDeleted, changed_at: changedAt };
  const back =
    former === null
      ? ""
      : `\nIts former content is in ${former}; to have that back: m25-mail restore ${former}`;
  return printResult(
    values,
    { database: db, file, ...counts, former },
    `${db} has the content of ${file}, as a new history. Domains: ${domains}, mailboxes: ${mailboxes} (soft-deleted: ${softDeleted}), last change: ${changedAt ?? "none"}${back}`,
  );
}

async function migrateCommand(usage: Usage, argv: readonly string[]): Promise<number> {
  const { values, db, file: target, passwordFile } = databaseAndFile(usage, argv);
  const problem = isPostgresql(target) ? addressProblem(target) : undefined;
  if (problem !== undefined) throw new UsageError(`DATABASE ${problem}`);
  const rows = await copyDatabase(db, target, passwordFile);
  const words = `${target} has all of ${db}: ${rows} rows. Start servers with --db ${target} only`;
  return printResult(values, { database: db, target, rows }, words);
}

async function exportCommand(usage: Usage, argv: readonly string[]): Promise<number> {
  const { values, db, file, passwordFile } = databaseAndFile(usage, argv);
  const store = await openDatabase(db, { create: false, passwordFile });
  try {
    const progress = (count: number) => showProgress(`${count} mailboxes are exported`);
    const options = { withHashes: values["with-hashes"] === true, at: new Date().toISOString(), progress };
    const { domains, mailboxes } = await exportState(store, file, options).finally(() => showProgress(""));
    const words = `${file} has the domains (${domains}) and mailboxes (${mailboxes}) of ${db}`;
    return await printResult(values, { database: db, file, domains, mailboxes }, words);
  } finally {
    await store.close();
  }
}

function databaseAndFile(usage: Usage, argv: readonly string[]) {
  const { values, positionals } = parseArguments(usage, argv);
  const [file = ""] = positionals;
  const { db, "db-password-file": passwordFile } = storeConfig(values, shellVariables());
  return { values, db, file, passwordFile };
}

/** @throws MailError invalid_input for PostgreSQL, which has its own programs for it */
function databaseFileAndFile(usage: Usage, argv: readonly string[]) {
  const { values, db, file } = databaseAndFile(usage, argv);
  if (!isPostgresql(db)) return { values, db, file };
  throw new MailError(
    "invalid_input",
    `${usage.name} is for SQLite's file.`,
    "Nothing was done. PostgreSQL has its own programs: pg_dump and pg_restore.",
  );
}

function printResult(values: FlagValues, result: Record<string, unknown>, words: string): Promise<number> {
  return print(`${presentation(values, () => words)(result)}\n`);
}

function showRestored(copied: number, all: number): void {
  const done =
    copied === all ? "restored; now erasing the former content" : `${copied} of ${all} mailboxes are copied`;
  showProgress(done);
}

/** Resolves at the first signal to stop. Ignores further ones: under npm one Ctrl-C arrives twice. */
function stopSignal(): Promise<void> {
  return new Promise((resolve) => {
    for (const signal of ["SIGINT", "SIGTERM"] as const) process.on(signal, () => resolve());
  });
}

/** Exits explicitly: Node that ends by itself first stops handling signals, and the second of a Ctrl-C would kill it. */
function endNow(): never {
  return process.exit(exitCodes.done);
}

/** Exits explicitly: what is open already, as connections to PostgreSQL are, would keep a server that does not serve. */
async function endWith(error: unknown): Promise<never> {
  return process.exit(await failure(error));
}

async function print(text: string): Promise<number> {
  await writeOut(text);
  return exitCodes.done;
}

/** Tells on stderr why the program ends, and returns its exit code. */
async function failure(error: unknown): Promise<number> {
  if (error instanceof MailError) return showRefusal(error);
  const code = exitCodeOf(error);
  if (code === exitCodes.done) return code;
  if (error instanceof UsageError) {
    process.stderr.write(`${error.message}\nSee: ${await helpAtHand(typed)}\n`);
  } else if (error instanceof OutputFailure || error instanceof ConfigurationError)
    process.stderr.write(`${error.message}\n`);
  else explainStart(error, log);
  return code;
}

/** Explains in plain words why the server cannot listen; any other error is a bug. */
function explainStart(error: unknown, { error: report }: Log): void {
  const code = error instanceof Error && "code" in error ? String(error.code) : "";
  const address = error instanceof Error && "address" in error ? String(error.address) : "";
  const port = error instanceof Error && "port" in error ? String(error.port) : "";
  if (code === "EADDRINUSE") {
    process.stderr.write(
      `The port ${port} is in use already at ${address}.\nStop the other program, or choose another port with --port.\n`,
    );
  } else if (code === "EACCES" || code === "EADDRNOTAVAIL" || code === "ENOTFOUND") {
    process.stderr.write(
      `The server cannot listen there (${code}).\nChoose another address or port with --host and --port.\n`,
    );
  } else {
    report("m25-mail stopped on a bug", error);
  }
}
