import { z } from "zod";
import { NodeName } from "../../src/mail/schemas.ts";
import { defineTool } from "../tool.ts";

export const removeNode = defineTool({
  endpoint: "remove-node",
  title: "Remove a node",
  description: "Ends a node's sync key. The node keeps serving the last state that it applied.",
  effect: "destroy",
  scope: () => "nodes",
  input: z.strictObject({ name: NodeName }),
  output: z.object({ name: z.string() }),
  async run({ tables }, { name }) {
    await tables.nodes.remove(name);
    return { name };
  },
});
