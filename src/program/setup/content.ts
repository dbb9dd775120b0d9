/** The content that a new server needs in its database: the operator's password, a first domain. */
import { existsSync, readFileSync, rmSync } from "node:fs";
import { addDomain } from "../../../tools/add-domain.ts";
import type { Runtime } from "../../../tools/call/call.ts";
import { operatorTools } from "../../../tools/operator/index.ts";
import { UsageError } from "../../command-line/usage-error.ts";
import { writeOut } from "../../doors/cli/output.ts";
import { readPassword } from "../../doors/cli/password.ts";
import { resultOf } from "../../doors/cli/run-tool.ts";
import type { Memory } from "../../machine/files.ts";
import type { Host } from "../../machine/host.ts";
import { DomainName, OperatorPassword } from "../../mail/schemas.ts";
import type { Wishes } from "./answers.ts";

/** The content to make; undefined for what is there, or is left out. */
export interface Content {
  password: string | undefined;
  domain: string | undefined;
}

/** Runs something on the service's database; undefined if there is none yet. */
export type WithDatabase = <Result>(
  use: (runtime: Runtime) => Promise<Result>,
) => Promise<Result | undefined>;

/**
 * Asks for the operator's password and a first domain, unless they are there. A domain that was left out is not asked for again.
 *
 * @throws UsageError
 */
export async function findContent(
  host: Host,
  memory: Memory,
  { domain, passwordFile }: Wishes,
  withDatabase: WithDatabase,
): Promise<Content> {
  const found = await withDatabase(({ store }) =>
    store.read(async (tables) => ({
      hasDomains: (await tables.domains.page(1)).length > 0,
      hasPassword: (await tables.operator.passwordHash()) !== undefined,
    })),
  );
  const content: Content = { password: undefined, domain: undefined };
  if (found?.hasPassword !== true && (passwordFile !== undefined || process.stdin.isTTY)) {
    if (passwordFile === undefined)
      host.machine.log("The operator's password, for the page at / and for OAuth: at least 12 characters.");
    content.password = await readPassword(passwordFile);
    const { error } = OperatorPassword.safeParse(content.password);
    if (error !== undefined)
      throw new UsageError(error.issues[0]?.message ?? "The password is not accepted.");
  }
  const before = await memory.recall("domain");
  if (domain === undefined && before === undefined && found?.hasDomains === true) return content;
  const asked = "A first domain for mailboxes, such as example.nl (empty: later): ";
  const named = domain ?? before ?? (await host.ask(asked));
  if (named === undefined) return content;
  if (named !== "") content.domain = domainFrom(named);
  await memory.note("domain", content.domain ?? "");
  return content;
}

function domainFrom(named: string): string {
  const read = DomainName.safeParse(named);
  if (read.success) return read.data;
  throw new UsageError(`--domain: ${read.error.issues[0]?.message}`);
}

/** @throws MailError */
export async function provideContent(
  host: Host,
  memory: Memory,
  { password, domain }: Content,
  runtime: Runtime,
): Promise<void> {
  if (password !== undefined) {
    await resultOf(runtime, operatorTools.setOperatorPassword, { password });
    host.machine.log("the operator's password is set");
  }
  if (domain === undefined) return;
  if ((await runtime.store.read(({ domains }) => domains.find(domain))) === undefined) {
    await resultOf(runtime, addDomain, { domain });
    host.machine.log(`${domain} is registered`);
  }
  // Once it was made, its removal is the operator's will.
  await memory.note("domain", "");
}

const nextSteps = `Go on with a mailbox, and a node, which receives its mail:

  m25-mail domain add example.nl && m25-mail user add jan@example.nl
  m25-mail node add pi-amsterdam
`;

/**
 * Shows the first access token and how an assistant connects with it, once; without a terminal, the file that has it.
 *
 * @throws OutputFailure
 */
export async function showFirstToken(file: string, url: string): Promise<void> {
  if (!existsSync(file)) return;
  if (!process.stdout.isTTY) {
    await writeOut(`\nThe first access token is in ${file}: read it, then delete the file.\n`);
    return;
  }
  const token = readFileSync(file, "utf8").trim();
  const command = `claude mcp add --transport http m25-mail ${url}/mcp --header "Authorization: Bearer ${token}"`;
  await writeOut(
    `\nConnect an assistant, here Claude Code, with the first access token, which is shown only once:\n\n  ${command}\n
Other assistants: docs/assistants.md. The page for a browser: ${url}/\n\n${nextSteps}`,
  );
  rmSync(file);
}
