import { UsageError } from "../../command-line/usage-error.ts";
import { HOST_NAME } from "../../sync/report.ts";
import type { SetupConfig } from "../config.ts";
import { runQuietly } from "../machine.ts";
import type { Answers } from "./configurations.ts";
import type { Memory } from "./files.ts";
import type { Host } from "./host.ts";

/**
 * Finds out what the configurations depend on: from flags, from the last setup, or by a question.
 *
 * @throws UsageError
 */
export async function findAnswers(host: Host, memory: Memory, config: SetupConfig): Promise<Answers> {
  const before = JSON.parse((await memory.recall("answers")) ?? "{}") as Partial<Answers>;
  const hostName = nameOf("host-name", config.hostName ?? before.hostName ?? (await askHostName(host)));
  const mailboxNode = config.mailboxNode ?? before.mailboxNode;
  const server = config.server.origin;
  return mailboxNode === undefined
    ? { hostName, server }
    : { hostName, server, mailboxNode: nameOf("mailbox-node", mailboxNode) };
}

async function askHostName(host: Host): Promise<string> {
  const guess = (await runQuietly(host.machine, ["hostname", "--fqdn"])).stdout.trim();
  const good = isName(guess) ? guess : undefined;
  const typed = await host.ask(
    `This node's own name in DNS${good === undefined ? ", such as mail.example.nl" : ` [${good}]`}: `,
  );
  const name = typed === undefined || typed === "" ? good : typed;
  if (name === undefined)
    throw new UsageError("--host-name is missing: this node's own name in DNS, such as mail.example.nl");
  return name;
}

function nameOf(flag: string, text: string): string {
  const name = text.toLowerCase().replace(/\.$/, "");
  if (!isName(name)) throw new UsageError(`--${flag} must be a name in DNS, such as mail.example.nl`);
  return name;
}

function isName(text: string): boolean {
  return HOST_NAME.test(text) && text.includes(".") && !/^localhost\b|^[\d.]+$/.test(text);
}
