import { Expiry } from "../../../tools/operator/expiry.ts";
import { operatorTools } from "../../../tools/operator/index.ts";
import type { FlagValues } from "../../command-line/flags.ts";
import { UsageError } from "../../command-line/usage-error.ts";
import { approveCommand } from "./alias-approve.ts";
import { optionalText } from "./arguments.ts";
import { auditCommand } from "./audit.ts";
import { callCommand, operationCommand } from "./call-command.ts";
import { checkCommand, showRotation } from "./check.ts";
import { applyCommand } from "./import/apply.ts";
import { importCommand } from "./import/command.ts";
import { showAcceptance, showNode, showNodes, showRemoval } from "./nodes.ts";
import { show } from "./show.ts";
import type { StoreCommand } from "./store-command.ts";
import { toolCommand } from "./tool-command.ts";
import { toolNamed, usageOf } from "./tool-usage.ts";
import { type Usage, usageFor } from "./usage.ts";

/** The commands on the database, by their names in usage.ts. */
const commands: Readonly<
  Record<string, (usage: Usage, argv: readonly string[]) => StoreCommand | Promise<StoreCommand>>
> = {
  call: callCommand,
  // Prints the token alone, for `TOKEN=$(m25-mail token create NAME)`.
  "token create": toolCommand(operatorTools.createToken, {
    input: tokenLimits,
    shown: ({ token }) => String(token),
  }),
  "token list": toolCommand(operatorTools.listTokens, {
    shown: ({ tokens }) => show({ tokens: withAll(tokens) }),
  }),
  "token revoke": toolCommand(operatorTools.revokeToken, { shown: ({ name }) => `${name} is revoked` }),
  "node list": toolCommand(operatorTools.listNodeDetails, { shown: showNodes }),
  "node set": toolCommand(operatorTools.setNode, {
    input: nodeLimits,
    shown: showNode,
    words: { ip_address: "--ip" },
  }),
  "node rotate-key": toolCommand(operatorTools.rotateKey, { shown: showKey }),
  "node accept": acceptCommand,
  "node remove": toolCommand(operatorTools.removeNode, { shown: showRemoval }),
  "domain set-limits": toolCommand(operatorTools.setDomainLimits, { input: recipientLimits }),
  "user set-limits": toolCommand(operatorTools.setUserLimits, { input: recipientLimits }),
  "user show": toolCommand(operatorTools.showUser),
  "user rename": toolCommand(operatorTools.renameUser),
  "user list-inactive": toolCommand(operatorTools.listInactive),
  "user list-limited": toolCommand(operatorTools.listLimited),
  "user list-weak": toolCommand(operatorTools.listWeak),
  "user restore": toolCommand(operatorTools.restoreUser),
  "user purge": toolCommand(operatorTools.purgeUser, {
    shown: ({ email }) => `${email} is removed for good`,
  }),
  check: checkCommand,
  "dkim rotate": toolCommand(operatorTools.rotateDkim, { shown: showRotation }),
  "alias list-waiting": toolCommand(operatorTools.listWaitingAliases),
  "alias approve": approveCommand,
  "alias refuse": toolCommand(operatorTools.refuseAlias),
  "alias approved-domains": toolCommand(operatorTools.setApprovedDomains),
  "alias postmaster": toolCommand(operatorTools.setPostmaster, { shown: showPostmaster }),
  import: importCommand,
  apply: applyCommand,
  audit: auditCommand,
  "operator set-password": toolCommand(operatorTools.setOperatorPassword, { shown: showGrants }),
  "oauth client add": toolCommand(operatorTools.addOAuthClient, {
    input: redirectUris,
    shown: ({ client_id }) => String(client_id),
    words: { redirect_uris: "--redirect-uri" },
  }),
  "oauth client list": toolCommand(operatorTools.listOAuthClients),
  "oauth client remove": toolCommand(operatorTools.removeOAuthClient),
  "oauth grants list": toolCommand(operatorTools.listGrants, {
    shown: ({ grants }) => show({ grants: withAll(grants) }),
  }),
  "oauth grants revoke": toolCommand(operatorTools.revokeGrant),
};

/**
 * The command on the database that these words call; undefined if they call none.
 *
 * @param words the arguments of m25-mail
 * @throws UsageError
 */
export async function storeCommand(words: readonly string[]): Promise<StoreCommand | undefined> {
  const usage = usageFor(words);
  if (usage === undefined) return undefined;
  const argv = words.slice(usage.name.split(" ").length);
  const tool = await toolNamed(usage.runs);
  return tool === undefined
    ? commands[usage.name]?.(usage, argv)
    : operationCommand(tool, usageOf(tool, usage), argv);
}

function tokenLimits({ scopes, domains, expires }: FlagValues): Record<string, unknown> {
  const [issue] = Expiry.optional().safeParse(expires).error?.issues ?? [];
  if (issue !== undefined) throw new UsageError(`--expires: ${issue.message}`);
  return {
    ...(scopes !== undefined && { scopes: String(scopes).split(",") }),
    ...(domains !== undefined && { domains: String(domains).split(",") }),
    ...(expires !== undefined && { expires }),
  };
}

function nodeLimits({ domains, role, ip }: FlagValues): Record<string, unknown> {
  if (domains === undefined && role === undefined && ip === undefined) {
    throw new UsageError(
      "Give at least one of --domains, --role and --ip. m25-mail node list shows the present limits.",
    );
  }
  return {
    ...(domains !== undefined && { domains: domains === "all" ? domains : String(domains).split(",") }),
    ...(role !== undefined && { role }),
    ...(ip !== undefined && { ip_address: ip }),
  };
}

/** Numbers as such, which their fields' schema also gives as a word. */
function recipientLimits(values: FlagValues): Record<string, unknown> {
  const number = (flag: string) => {
    const value = values[flag];
    return /^\d{1,9}$/.test(String(value)) ? Number(value) : value;
  };
  return {
    recipients_per_hour: number("recipients-per-hour"),
    recipients_per_day: number("recipients-per-day"),
    first_time_recipients_per_day: number("first-time-recipients-per-day"),
  };
}

function redirectUris(values: FlagValues): Record<string, unknown> {
  const uris = optionalText(values["redirect-uri"]);
  if (uris === undefined) {
    throw new UsageError(
      "--redirect-uri is missing: the address to which the client is sent back, from its documentation.",
    );
  }
  return { redirect_uris: uris.split(",") };
}

function acceptCommand({ takes: _, ...usage }: Usage, argv: readonly string[]): StoreCommand {
  const accept = toolCommand(operatorTools.acceptRemovals, { shown: showAcceptance });
  return accept(argv.includes("--all") ? usage : { ...usage, takes: "NAME" }, argv);
}

/** Rows with their domains in words, as the flags name them. */
function withAll(rows: unknown): Array<Record<string, unknown>> {
  return (rows as Array<Record<string, unknown>>).map((row) => ({ ...row, domains: row.domains ?? "all" }));
}

function showPostmaster({ address, ...rest }: Record<string, unknown>): string {
  return show({ address: address ?? "none", ...rest });
}

/** Prints the key alone on stdout, like a token, and the next step on stderr. */
function showKey({ sync_key, next_step }: Record<string, unknown>): string {
  process.stderr.write(`${next_step}\n`);
  return String(sync_key);
}

function showGrants(result: Record<string, unknown>): string {
  const next =
    "To see and end the grants of OAuth clients: m25-mail oauth grants list, oauth grants revoke ID";
  return result.grants === 0 ? show(result) : `${show(result)}\n${next}`;
}
