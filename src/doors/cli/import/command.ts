import { basename } from "node:path";
import type { Runtime } from "../../../../tools/call/call.ts";
import { refuseWeakPassword } from "../../../../tools/call/weak-passwords.ts";
import type { ImportedMailbox } from "../../../../tools/operator/import/plan.ts";
import { operatorTools } from "../../../../tools/operator/index.ts";
import { UsageError } from "../../../command-line/usage-error.ts";
import { parseDomain } from "../../../mail/address.ts";
import { MailError } from "../../../mail/error.ts";
import { parsePassword } from "../../../mail/password.ts";
import { DomainName } from "../../../mail/schemas.ts";
import { NO_LOGIN } from "../../../mail/stored-hash.ts";
import { optionalText, parseArguments } from "../arguments.ts";
import { exitCodes } from "../exit.ts";
import { showProgress, writeOut } from "../output.ts";
import { resultOf } from "../run-tool.ts";
import type { StoreCommand } from "../store-command.ts";
import type { Usage } from "../usage.ts";
import { readCsv } from "./csv.ts";
import { readDockerMailserver } from "./docker-mailserver.ts";
import { withLinks } from "./links.ts";
import { readMailcow } from "./mailcow.ts";
import { readPasswdFile } from "./passwd-file.ts";
import { readPostfixAdmin } from "./postfixadmin.ts";
import { type Imported, reportOf } from "./report.ts";
import { type FoundMailbox, readSource, type Source, type SourceFile } from "./source.ts";

/** The systems whose files can be read, by the value of --from. */
const readers: Readonly<Record<string, (files: readonly SourceFile[]) => Source>> = {
  postfixadmin: readPostfixAdmin,
  mailcow: readMailcow,
  "docker-mailserver": readDockerMailserver,
  "passwd-file": readPasswdFile,
  csv: readCsv,
};

/** Passwords to hash at the same time. */
const HASHES = 4;

/** Imports another mail system's domains and mailboxes. */
export function importCommand(usage: Usage, argv: readonly string[]): StoreCommand {
  const { values, positionals } = parseArguments(usage, argv);
  const isDry = values["dry-run"] === true;
  return {
    values,
    async run(runtime) {
      const linksTo = isDry ? undefined : optionalText(values["links-to"]);
      const importAll = () =>
        importFiles(runtime, positionals, {
          from: optionalText(values.from),
          domains: optionalText(values.domains),
          unlimitedAs: optionalText(values["unlimited-as"]),
          approveOutside: values["approve-outside"] === true,
          isDry,
        });
      const imported = await (linksTo === undefined ? importAll() : withLinks(linksTo, runtime, importAll));
      await writeOut(reportOf(imported, { isDry, asJson: values.json === true }));
      return exitCodes.done;
    },
  };
}

export interface ImportOptions {
  from?: string | undefined;
  /** The only domains to import, separated by commas. */
  domains?: string | undefined;
  /** MiB. */
  unlimitedAs?: string | undefined;
  /** Approves targets of aliases that are elsewhere. */
  approveOutside?: boolean;
  /** Only plans. */
  isDry?: boolean;
}

/**
 * Plans first if there are passwords in clear text, to hash only those of mailboxes that are imported.
 *
 * @throws UsageError for an unknown system; MailError
 */
export async function importFiles(
  runtime: Runtime,
  paths: readonly string[],
  { from = "", domains, unlimitedAs, approveOutside = false, isDry = false }: ImportOptions,
): Promise<Imported> {
  const read = readers[from];
  if (read === undefined) throw new UsageError(`--from takes one of: ${Object.keys(readers).join(", ")}.`);
  const source = within(read(paths.map(readSource)), domains);
  const isEmpty = [source.mailboxes, source.domains, source.aliases, source.domainAliases].every(
    ({ length }) => length === 0,
  );
  if (isEmpty) throw nothingFound();
  const { leftOut } = source;
  const mailboxes = await checked(source.mailboxes);
  const inputWith = (mailboxes_with_passwords: readonly ImportedMailbox[]) => ({
    from,
    files: paths.map((path) => basename(path)),
    ...(unlimitedAs !== undefined && { unlimited_as: Number(unlimitedAs) }),
    domains: source.domains,
    approve_outside: approveOutside,
    domain_aliases: source.domainAliases,
    alias_count: source.aliases.length,
    all_aliases: source.aliases,
    mailbox_count: mailboxes.length,
    mailboxes_with_passwords,
  });
  const plan = () => operate(runtime, "planImport", inputWith(mailboxes.map(planned)));
  if (isDry) return { ...(await plan()), leftOut };
  const ready = mailboxes.some(({ password }) => "plain" in password)
    ? await hashed(runtime, mailboxes, await plan())
    : mailboxes.map(planned);
  showProgress(`importing ${ready.length} mailboxes`);
  const imported = await operate(runtime, "importMailboxes", inputWith(ready)).finally(() =>
    showProgress(""),
  );
  return { ...imported, leftOut };
}

/** @throws MailError a refusal of the tool */
async function operate(
  runtime: Runtime,
  name: "planImport" | "importMailboxes",
  input: Record<string, unknown>,
): Promise<Omit<Imported, "leftOut">> {
  return (await resultOf(runtime, operatorTools[name], input)) as unknown as Omit<Imported, "leftOut">;
}

function nothingFound(): MailError {
  return new MailError(
    "invalid_input",
    "The files have no mailbox, at least not in this format or in these domains.",
    "Nothing was changed. docs/move.md shows each format.",
  );
}

/**
 * The part of a source in these domains, which are separated by commas.
 *
 * @throws MailError invalid_input for a name that is not a domain
 */
function within(source: Source, list: string | undefined): Source {
  const names = list?.split(",").map(parseDomain);
  const isWithin = (name: string) =>
    names === undefined || names.includes(name.slice(name.lastIndexOf("@") + 1).toLowerCase());
  return {
    domains: source.domains.filter(({ name }) => isWithin(name) && DomainName.safeParse(name).success),
    mailboxes: source.mailboxes.filter(({ address }) => isWithin(address)),
    aliases: source.aliases.filter(({ address }) => isWithin(address)),
    domainAliases: source.domainAliases.filter(
      ({ name, of }) => isWithin(of) && [name, of].every((one) => DomainName.safeParse(one).success),
    ),
    leftOut: source.leftOut.filter(({ name }) => isWithin(name)),
  };
}

/** Takes a password in clear text only if its owner could have chosen it here. */
async function checked(mailboxes: readonly FoundMailbox[]): Promise<FoundMailbox[]> {
  const all: FoundMailbox[] = [];
  for (const mailbox of mailboxes) {
    const problem =
      "plain" in mailbox.password ? await problemOf(mailbox.password.plain, mailbox.address) : undefined;
    all.push(problem === undefined ? mailbox : { ...mailbox, password: { problem } });
  }
  return all;
}

async function problemOf(password: string, address: string): Promise<string | undefined> {
  try {
    // The owner types the stored text: its normalised form would be another password.
    if (parsePassword(password) !== password)
      return "its password has characters that are kept in another form";
    await refuseWeakPassword(password, address.toLowerCase());
    return undefined;
  } catch (error) {
    if (error instanceof MailError) return error.message;
    throw error;
  }
}

/** Removes the passwords, which the plan does not need. */
function planned({ password, ...mailbox }: FoundMailbox): ImportedMailbox {
  return { ...mailbox, password: "plain" in password ? { hash: NO_LOGIN } : password };
}

/** Hashes the clear-text passwords of imported mailboxes. */
async function hashed(
  runtime: Runtime,
  mailboxes: readonly FoundMailbox[],
  plan: Omit<Imported, "leftOut">,
): Promise<ImportedMailbox[]> {
  const all = mailboxes.map(planned);
  const plain = mailboxes.flatMap(({ password }, at) =>
    "plain" in password && plan.mailboxes[at]?.outcome === "taken" ? [{ at, password: password.plain }] : [],
  );
  let count = 0;
  const hashNext = async () => {
    for (let next = plain[count]; next !== undefined; next = plain[count]) {
      count += 1;
      showProgress(`${count} of ${plain.length} passwords are hashed`);
      const mailbox = all[next.at];
      if (mailbox !== undefined)
        mailbox.password = { hash: await runtime.hashPassword(next.password, "operator") };
    }
  };
  await Promise.all(Array.from({ length: HASHES }, hashNext));
  showProgress("");
  return all;
}
