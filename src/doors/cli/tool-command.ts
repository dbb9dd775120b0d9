import type { Tool } from "../../../tools/tool.ts";
import { inputFromText } from "../input.ts";
import { parseArguments, SWITCHES } from "./arguments.ts";
import { runTool } from "./call.ts";
import { storeFlags } from "./help.ts";
import { presentation, show } from "./show.ts";
import type { StoreCommand } from "./store-command.ts";

/** A command whose positional arguments are the tool's fields, in their order. */
export function toolCommand(
  tool: Tool,
  argv: readonly string[],
  positionalNames: readonly string[],
  shown = show,
): StoreCommand {
  const { values, positionals } = parseArguments(argv, storeFlags, SWITCHES, positionalNames);
  const fields = Object.keys(tool.input.shape);
  const named = (texts: readonly string[]) =>
    Object.fromEntries(texts.map((text, index) => [fields[index] ?? "", text]));
  const input = inputFromText(tool, named(positionals));
  return {
    values,
    run: (runtime) => runTool(runtime, tool, input, presentation(values, shown), named(positionalNames)),
  };
}
