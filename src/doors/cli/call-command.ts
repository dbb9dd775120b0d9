import { addDomain, addPublicProvider } from "../../../tools/add-domain.ts";
import { addNode } from "../../../tools/add-node.ts";
import type { Tool } from "../../../tools/call/tool.ts";
import { setDomainAlias } from "../../../tools/sets/aliases/set-domain-alias.ts";
import { allTools } from "../../../tools/sets/index.ts";
import type { FlagValues } from "../../command-line/flags.ts";
import { nearest } from "../../command-line/nearest.ts";
import { UsageError } from "../../command-line/usage-error.ts";
import { show } from "./show.ts";
import type { StoreCommand } from "./store-command.ts";
import { toolCommand } from "./tool-command.ts";
import { toolNamed, usageOf } from "./tool-usage.ts";
import type { Usage } from "./usage.ts";

/**
 * `m25-mail call ENDPOINT`: runs one operation, of the nine or of a set, with its fields as flags.
 *
 * @throws UsageError
 */
export async function callCommand(
  _usage: Usage,
  [name = "", ...argv]: readonly string[],
): Promise<StoreCommand> {
  if (name === "" || name.startsWith("-")) throw new UsageError("call needs an ENDPOINT.");
  const tool = await toolNamed(name);
  if (tool === undefined) {
    const known = (await allTools()).map(({ endpoint }) => endpoint);
    const near = nearest(name, known);
    throw new UsageError(
      near === undefined
        ? `There is no endpoint ${name}. The endpoints: ${known.join(", ")}.`
        : `There is no endpoint ${name}: did you mean ${near}?`,
    );
  }
  return operationCommand(tool, usageOf(tool), argv);
}

/**
 * A command that runs one operation.
 *
 * @throws UsageError
 */
export function operationCommand(tool: Tool, usage: Usage, argv: readonly string[]): StoreCommand {
  if (tool === setDomainAlias) return toolCommand(tool, { input: domainAlias })(usage, argv);
  const isForced = tool === addDomain && argv.includes("--public-provider");
  const command = toolCommand(isForced ? addPublicProvider : tool, {
    ...("url" in tool.output.shape && { shown: showLink }),
    ...(tool === addNode && { shown: showNewNode }),
  });
  return command(usage, argv);
}

/** This process does not know with which sets the server runs. */
function showLink(result: Record<string, unknown>): string {
  process.stderr.write("The link opens only while m25-mail serve runs with --tools people.\n");
  return show(result);
}

/** Leaves the line to paste as it is. */
function showNewNode({ next_step, ...result }: Record<string, unknown>): string {
  return `${show(result)}\n\n${next_step}`;
}

function domainAlias({ domain, of }: FlagValues): Record<string, unknown> {
  if (of === undefined)
    throw new UsageError("--of is missing: the registered domain, or none to end the domain alias.");
  return { ...(domain !== undefined && { domain }), of: of === "none" ? null : of };
}
