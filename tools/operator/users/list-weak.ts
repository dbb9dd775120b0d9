import * as z from "zod";
import { defineTool } from "../../call/tool.ts";

export const listWeak = defineTool({
  endpoint: "list-weak",
  title: "List mailboxes whose password hashes are weak",
  description:
    "Lists all active mailboxes with a hash that Dovecot 2.3 accepts and 2.4 refuses, such as MD5-CRYPT.",
  effect: "read",
  ofAllDomains: true,
  input: z.strictObject({}),
  output: z.object({ mailboxes: z.array(z.object({ email: z.string() })) }),
  async run({ tables }) {
    const emails = await tables.users.withWeakHashes();
    return { mailboxes: emails.map((email) => ({ email })) };
  },
});
