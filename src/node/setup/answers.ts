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
  const server = config.server.origin;
  return mailboxNode === undefined
    ? { hostName, server }
    : { hostName, server, mailboxNode: nameOf("mailbox-node", mailboxNode, QUESTION.example) };
}
