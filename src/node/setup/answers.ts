import type { Memory } from "../../machine/files.ts";
import type { Host } from "../../machine/host.ts";
import { askName, nameOf } from "../../machine/public-name.ts";
import type { SetupConfig } from "../config.ts";
import type { Answers } from "./configurations.ts";

const QUESTION = { asked: "This node's own name in DNS", example: "mail.example.nl" };

/**
 * Finds out what the configurations depend on: from flags, from the last setup, or by a question.
 *
 * @throws UsageError
 */
export async function findAnswers(host: Host, memory: Memory, config: SetupConfig): Promise<Answers> {
  const before = JSON.parse((await memory.recall("answers")) ?? "{}") as Partial<Answers>;
  const hostName = nameOf(
    "host-name",
    config.hostName ?? before.hostName ?? (await askName(host, QUESTION)),
    QUESTION.example,
  );
  const mailboxNode = config.mailboxNode ?? before.mailboxNode;
  const filter = config.filter ?? before.filter ?? (await filtersUnasked(host, before));
  const answers = { hostName, server: config.server.origin, filter };
  return mailboxNode === undefined
    ? answers
    : { ...answers, mailboxNode: nameOf("mailbox-node", mailboxNode, QUESTION.example) };
}

/** A new node filters. One that an earlier version has set up stays as it is: rspamd was there only if somebody had installed it. */
async function filtersUnasked({ machine }: Host, { hostName }: Partial<Answers>): Promise<boolean> {
  if (hostName === undefined || (await machine.find("rspamd")) !== undefined) return true;
  machine.log("Mail from other servers is not filtered: m25-mail-node setup --with-filter installs rspamd.");
  return false;
}
