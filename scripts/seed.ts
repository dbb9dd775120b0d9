import { randomBytes } from "node:crypto";
import { seedDatabase } from "../db/sqlite/seed.ts";
import { UsageError } from "../src/command-line/usage-error.ts";
import { parseArguments } from "../src/doors/cli/arguments.ts";
import { exitCodes } from "../src/doors/cli/exit.ts";
import { flagHelp } from "../src/doors/cli/help.ts";
import { showProgress } from "../src/doors/cli/output.ts";
import { showRefusal } from "../src/doors/cli/run-tool.ts";
import type { Usage } from "../src/doors/cli/usage.ts";
import { MailError } from "../src/mail/error.ts";
import { storeConfig } from "../src/program/config.ts";
import { PasswordHasher } from "../tools/call/password-hash.ts";

const usage: Usage = {
  name: "npm run seed --",
  does: "makes a database for benchmarks and trials, and prints the one password of its mailboxes",
  flags: {
    users: { placeholder: "N", help: "active mailboxes" },
    domains: { placeholder: "M", help: "domains, over which the mailboxes are spread evenly" },
    help: { placeholder: "", help: "shows this" },
  },
  settings: "password",
};

process.exitCode = await seed(process.argv.slice(2)).catch(exitCodeOf);

async function seed(argv: string[]): Promise<number> {
  const { values } = parseArguments(usage, argv);
  if (values.help === true) {
    process.stdout.write(`${usage.name}   ${usage.does}\n\n${flagHelp(usage)}\n`);
    return exitCodes.done;
  }
  // No default: the default database is the one in service.
  if (values.db === undefined && !process.env.M25_MAIL_DB) throw new UsageError("--db FILE is missing.");
  const config = storeConfig(values, process.env);
  const users = count("users", values.users);
  const domains = count("domains", values.domains);
  if (users > 0 && domains === 0) throw new UsageError("--domains must be 1 or more where there are users.");
  const password = randomBytes(12).toString("base64url");
  const passwordHash = await new PasswordHasher(config["hash-cost"]).hash(password);
  const progress = (made: number) => showProgress(`${made} of ${users} mailboxes are made`);
  const made = seedDatabase(config.db, {
    users,
    domains,
    passwordHash,
    at: new Date().toISOString(),
    progress,
  });
  await made.finally(() => showProgress(""));
  process.stderr.write(
    `${config.db} has ${users} mailboxes in ${domains} domains.\nThe password of each is ${password}\n`,
  );
  return exitCodes.done;
}

function count(flag: string, value: string | boolean | undefined): number {
  if (typeof value !== "string") throw new UsageError(`--${flag} N is missing.`);
  if (!/^\d{1,8}$/.test(value)) throw new UsageError(`--${flag} is no number from 0 to 99999999.`);
  return Number(value);
}

function exitCodeOf(error: unknown): number {
  if (error instanceof UsageError) {
    process.stderr.write(`${error.message}\nSee: ${usage.name} --help\n`);
    return exitCodes.usage;
  }
  if (error instanceof MailError) return showRefusal(error);
  throw error;
}
