import * as z from "zod";
import { EmailAddress } from "../src/mail/schemas.ts";
import { byReader, field, next, operator, text } from "../src/mail/text.ts";
import { Timestamp } from "./call/fields.ts";
import { defineTool } from "./call/tool.ts";
import { liveFields, liveness } from "./nodes/liveness.ts";

/** A node that withholds removals withholds later ones too, but ends their logins. */
const WITHHELD = text`Its password stops working and its sessions end within a minute, but a node still takes mail for the address: removals wait there until ${byReader({ toOperator: text`you accept them: ${operator("node accept --all")}.`, toOthers: text`the operator accepts them (${operator("node accept")}). Tell the person.` })}`;

export const removeUser = defineTool({
  endpoint: "remove-user",
  title: "Remove a mailbox",
  description: text`Takes a mailbox, active or inactive, out of service: within a minute its address bounces, its password stops working and open sessions end. By default it becomes inactive (soft-deleted): ${next("add-user")} brings it back with its mail. With ${byReader({ toOperator: text`${field("hard_delete")}`, toOthers: "hard_delete: true" })} it cannot come back, and a new mailbox of that address begins empty: only if the person said "for good" or the like ("delete" alone is not enough). Mail files stay on the nodes' disks until the operator deletes them.`,
  effect: "destroy",
  scopes: ["write", "destroy"],
  scope: ({ hard_delete }) => (hard_delete ? "destroy" : "write"),
  input: z.strictObject({
    email: EmailAddress,
    hard_delete: z.boolean().default(false).describe("Remove it for good, with no undo."),
  }),
  output: z.object({
    email: z.string(),
    deleted: z.enum(["soft", "hard"]),
    already_inactive: z
      .boolean()
      .describe("true: it was inactive before; a soft delete then changed nothing."),
    purge_at: Timestamp.optional().describe(
      "When the server removes the inactive mailbox for good, if it is set to.",
    ),
    ...liveFields,
  }),
  async run(context, { email, hard_delete }) {
    const { tables, at, settings } = context;
    const user = await tables.users.get(email);
    if (hard_delete) await tables.users.remove(user, at);
    else if (user.active) await tables.users.update(user, { active: false }, at);
    const days = hard_delete ? undefined : settings.purgeInactiveAfter;
    return {
      email: user.email,
      deleted: hard_delete ? ("hard" as const) : ("soft" as const),
      already_inactive: !user.active,
      ...(days !== undefined && { purge_at: daysAfter(user.active ? at : user.updatedAt, days) }),
      ...((await tables.nodes.withholdsFor(user.domain)) && { note: WITHHELD }),
      ...(await liveness(context, user.domain, { isRemoval: true })),
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

function daysAfter(time: string, days: number): string {
  return new Date(Date.parse(time) + days * 86_400_000).toISOString();
}
