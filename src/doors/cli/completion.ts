import { allTools } from "../../../tools/sets/index.ts";
import { type Completed, completionScript } from "../../command-line/completion.ts";
import { settingsOf } from "../../program/settings.ts";
import { usageOf, withFields } from "./tool-usage.ts";
import { type Usage, usages } from "./usage.ts";

/** The completion of `m25-mail` for bash. */
export async function completion(): Promise<string> {
  const tools = await allTools();
  const commands = await Promise.all(usages.map(withFields));
  const calls = tools.map((tool) => usageOf(tool));
  const words = tools.map(({ endpoint }) => endpoint);
  return completionScript(
    "m25-mail",
    [...commands, ...calls].map((usage) => ({
      ...completed(usage),
      ...(usage.name === "call" && { words }),
    })),
  );
}

function completed({ name, flags, settings = "database" }: Usage): Completed {
  const all = Object.keys({ ...flags, ...settingsOf(settings), help: {} });
  return { name, flags: all.map((flag) => `--${flag}`) };
}
