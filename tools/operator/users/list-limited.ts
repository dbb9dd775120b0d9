import * as z from "zod";
import { defineTool } from "../../call/tool.ts";

/** ms. */
const LISTED = 7 * 86_400_000;

export const listLimited = defineTool({
  endpoint: "list-limited",
  title: "List mailboxes that reached a sending limit",
  description:
    "Lists the mailboxes that nodes have kept from sending in the last week, because they wrote to too many recipients. A stolen " +
    "password is the usual reason; a newsletter needs other limits.",
  effect: "read",
  ofAllDomains: true,
  input: z.strictObject({}),
  output: z.object({
    mailboxes: z.array(
      z.object({ email: z.string(), limited_on: z.string().describe("The last such day.") }),
    ),
  }),
  async run({ tables, at }) {
    const since = new Date(Date.parse(at) - LISTED).toISOString().slice(0, 10);
    const limited = await tables.usage.limitedSince(since);
    return { mailboxes: limited.map(({ email, on }) => ({ email, limited_on: on })) };
  },
});
