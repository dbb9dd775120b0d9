import type { Tool } from "../../../tools/call/tool.ts";
import type { FlagValues } from "../../command-line/flags.ts";
import { inputFromText } from "../input.ts";
import { optionalText, parseArguments } from "./arguments.ts";
import { readPassword } from "./password.ts";
import { runTool } from "./run-tool.ts";
import { presentation, show } from "./show.ts";
import type { StoreCommand } from "./store-command.ts";
import { positionalNames, type Usage } from "./usage.ts";
import { flagName } from "./wording.ts";

interface ToolCommand {
  /** Makes fields of the flags. By default each flag is the field of its name. */
  input?: (values: FlagValues) => Record<string, unknown>;
  shown?: (result: Record<string, unknown>) => string;
  /** The names of fields at the shell, if they differ from the flag of the same name. */
  words?: Readonly<Record<string, string>>;
}

/** A command that runs one tool. Its arguments are the tool's first fields, in their order. */
export function toolCommand(tool: Tool, { input = fieldsIn(tool), shown = show, words }: ToolCommand = {}) {
  const fields = Object.keys(tool.input.shape);
  const named = (texts: readonly string[]) =>
    Object.fromEntries(texts.map((text, index) => [fields[index] ?? "", text]));
  return (usage: Usage, argv: readonly string[]): StoreCommand => {
    const { values, positionals } = parseArguments(usage, argv);
    const given = inputFromText(tool, { ...named(positionals), ...input(values) });
    return {
      values,
      async run(runtime) {
        if (fields.includes("password")) {
          given.password = await readPassword(optionalText(values["password-file"]));
        }
        return runTool(runtime, tool, given, {
          present: presentation(values, shown),
          words: { ...named(positionalNames(usage)), ...words },
        });
      },
    };
  };
}

function fieldsIn(tool: Tool) {
  const fields = Object.keys(tool.input.shape);
  return (values: FlagValues) =>
    Object.fromEntries(
      fields.flatMap((field) => {
        const value = values[flagName(field)];
        return value === undefined ? [] : [[field, value]];
      }),
    );
}
