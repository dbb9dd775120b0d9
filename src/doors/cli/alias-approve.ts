import { call } from "../../../tools/call/call.ts";
import { operator } from "../../../tools/call/principal.ts";
import type { Result } from "../../../tools/call/tool.ts";
import { approveAlias, listWaitingAliases, seenOf } from "../../../tools/operator/aliases.ts";
import { UsageError } from "../../command-line/usage-error.ts";
import { optionalText, parseArguments } from "./arguments.ts";
import { confirm } from "./question.ts";
import { runTool, showRefusal } from "./run-tool.ts";
import { presentation } from "./show.ts";
import type { StoreCommand } from "./store-command.ts";
import type { Usage } from "./usage.ts";

type Waiting = Result<typeof listWaitingAliases>["waiting"];

/** Shows which targets of an alias wait, asks, and approves exactly those. */
export function approveCommand(usage: Usage, argv: readonly string[]): StoreCommand {
  const { values, positionals } = parseArguments(usage, argv);
  const [address = ""] = positionals;
  const named = optionalText(values.target)?.split(/\s*,\s*/);
  if (values.yes === true && named === undefined)
    throw new UsageError("--yes needs --target: the addresses to approve, separated by commas.");
  return {
    values,
    async run(runtime) {
      const given = { address, ...(named !== undefined && { targets: named }) };
      const present = presentation(values);
      const words = { address: "ADDRESS", targets: "--target" };
      const approve = (input: object) =>
        runTool(runtime, approveAlias, { ...given, ...input }, { present, words });
      if (values.yes === true) return approve({});
      const outcome = await call(runtime, {
        principal: operator("cli"),
        tool: listWaitingAliases,
        input: given,
      });
      if (!outcome.ok) return showRefusal(outcome.error, words);
      const { waiting } = outcome.value as { waiting: Waiting };
      if (waiting.length > 0) await ask(waiting);
      return approve({ targets: named ?? waiting.map(({ target }) => target), seen: seenOf(waiting) });
    },
  };
}

/** @throws UsageError without a yes */
async function ask(waiting: Waiting): Promise<void> {
  const list = waiting.map(({ alias, target, leads_to, also_from }) => {
    const leads = leads_to.length === 0 ? "" : `, which leads to ${leads_to.join(", ")}`;
    const also = also_from.length === 0 ? "" : `; also mail for ${also_from.join(", ")}`;
    return `  mail for ${alias} to ${target}${leads}${also}\n`;
  });
  const targets = waiting.map(({ target }) => target).join(",");
  await confirm(
    `This mail would leave the system:\n${list.join("")}Approve it?`,
    `These wait:\n${list.join("")}To approve them, give --yes --target ${targets}.`,
  );
}
