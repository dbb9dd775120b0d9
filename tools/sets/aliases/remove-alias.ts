import * as z from "zod";
import { AliasAddress } from "../../../src/mail/schemas.ts";
import { next, text } from "../../../src/mail/text.ts";
import { defineTool } from "../../call/tool.ts";
import { liveFields, liveness } from "../../nodes/liveness.ts";

export const removeAlias = defineTool({
  endpoint: "remove-alias",
  title: "Remove an alias",
  description: text`Removes an alias: within a minute its mail bounces, or goes to the mailbox of the same address or to the catch-all. The result has what puts it back (${next("set-alias")}); targets outside then wait for approval again.`,
  effect: "write",
  replaces: true,
  input: z.strictObject({ address: AliasAddress }),
  output: z.object({
    address: z.string(),
    targets: z.array(z.string()),
    send_as: z.boolean(),
    ...liveFields,
  }),
  async run(context, { address }) {
    const { tables, at } = context;
    const alias = await tables.aliases.get(address);
    await tables.aliases.remove(alias, at);
    return {
      address: alias.address,
      targets: alias.targets.map(({ email }) => email),
      send_as: alias.sendAs,
      ...(await liveness(context, alias.domain, { isRemoval: true })),
    };
  },
});
