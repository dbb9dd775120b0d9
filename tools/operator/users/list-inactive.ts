import * as z from "zod";
import { Timestamp } from "../../call/fields.ts";
import { defineTool } from "../../call/tool.ts";

export const listInactive = defineTool({
  endpoint: "list-inactive",
  title: "List soft-deleted mailboxes",
  description:
    "Lists all inactive mailboxes with the ids that end the names of their folders, longest inactive first. `m25-mail-node orphans` " +
    "takes the list, and then tells their folders from those that belong to nobody.",
  effect: "read",
  ofAllDomains: true,
  input: z.strictObject({}),
  output: z.object({
    mailboxes: z.array(z.object({ email: z.string(), mailbox: z.string(), updated_at: Timestamp })),
  }),
  async run({ tables }) {
    const inactive = await tables.users.inactive();
    const mailboxes = inactive.map(({ email, mailbox, updatedAt }) => ({
      email,
      mailbox,
      updated_at: updatedAt,
    }));
    return { mailboxes };
  },
});
