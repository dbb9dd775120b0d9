import * as z from "zod";
import { EmailAddress } from "../src/mail/schemas.ts";
import { Revision } from "./fields.ts";
import { defineTool } from "./tool.ts";

export const removeUser = defineTool({
  endpoint: "remove-user",
  title: "Remove a mailbox",
  description:
    "Takes a mailbox out of service: within a minute its address bounces, its password stops working and open " +
    "sessions end. By default this is a soft delete: the mailbox stays as inactive and m25_mail_add_user with the " +
    "same address re-activates it with its mail. With hard_delete: true it is removed for good and a later mailbox " +
    "of that address begins empty; confirm that with the person who asked. Works on inactive mailboxes too.",
  effect: "destroy",
  scopes: ["write", "destroy"],
  scope: ({ hard_delete }) => (hard_delete ? "destroy" : "write"),
  input: z.strictObject({
    email: EmailAddress,
    hard_delete: z
      .boolean()
      .default(false)
      .describe("false (default): can be re-activated later. true: removed for good, cannot be undone."),
  }),
  output: z.object({
    email: z.string(),
    deleted: z.enum(["soft", "hard"]),
    already_inactive: z
      .boolean()
      .describe("true: the mailbox was inactive before; a soft delete then changed nothing."),
    revision: Revision,
  }),
  async run({ tables, at }, { email, hard_delete }) {
    const user = await tables.users.get(email);
    if (hard_delete) await tables.users.remove(user, at);
    else if (user.active) await tables.users.update(user, { active: false }, at);
    return {
      email: user.email,
      deleted: hard_delete ? ("hard" as const) : ("soft" as const),
      already_inactive: !user.active,
      revision: await tables.state.revision(),
    };
  },
  async loss({ tables }, { email, hard_delete }) {
    if (!hard_delete) return undefined;
    const user = await tables.users.get(email);
    const nodes = await tables.nodes.serving(user.domain);
    return {
      question:
        `Remove the ${user.active ? "active" : "inactive"} mailbox ${user.email} for good? It cannot be re-activated, and a ` +
        `later one of that address begins empty. It goes from ${nodes === 1 ? "1 node" : `${nodes} nodes`}.`,
      id: [user.mailbox, user.active, nodes].join(" "),
    };
  },
});
