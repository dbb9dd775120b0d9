import * as z from "zod";
import { DEFAULT_MAIL_ROOT } from "../../../src/mail/mailbox.ts";
import { EmailAddress } from "../../../src/mail/schemas.ts";
import { Timestamp } from "../../call/fields.ts";
import { loginState, loginStates } from "../../call/login.ts";
import { defineTool } from "../../call/tool.ts";
import { usageFields, usageOf } from "../../sets/usage-fields.ts";
import { sendingFields, shownLimits } from "../sending-limits.ts";

export const showUser = defineTool({
  endpoint: "show-user",
  title: "Show a mailbox",
  description:
    "Shows a mailbox, active or soft-deleted, with its home on the nodes and the aliases that lead to it.",
  effect: "read",
  input: z.strictObject({ email: EmailAddress }),
  output: z.object({
    email: z.string(),
    state: z.enum(["active", "soft-deleted"]),
    login: z.enum(loginStates).describe("no_password: on once its owner has chosen one."),
    quota_mb: z.int(),
    ...usageFields,
    ...sendingFields,
    limited_on: z
      .string()
      .nullable()
      .describe("The last day on which it reached one of these limits, as a node reported it."),
    id: z
      .string()
      .describe("Stays when the mailbox is renamed. A later mailbox of the same address has another."),
    home: z.string().describe(`The folder of its mail, on a node whose --mail-root is ${DEFAULT_MAIL_ROOT}.`),
    aliases: z
      .array(z.string())
      .describe("Those that lead to it, through others too. A catch-all's begins with @."),
    roles: z.array(z.string()).describe("postmaster@ and abuse@, if it gets their mail for every domain."),
    created_at: Timestamp,
    updated_at: Timestamp.describe("Its last change; for a soft-deleted mailbox, its removal."),
  }),
  async run({ tables }, { email }) {
    const user = await tables.users.get(email);
    const domain = await tables.domains.get(user.domain);
    const usage = (await tables.usage.of([user])).get(user.id);
    return {
      email: user.email,
      state: user.active ? ("active" as const) : ("soft-deleted" as const),
      login: loginState(user),
      quota_mb: user.quotaMb,
      ...usageOf(user, usage),
      ...shownLimits(user.sendingLimit, domain.sendingLimit),
      limited_on: usage?.limitedOn ?? null,
      id: user.mailbox,
      home: `${DEFAULT_MAIL_ROOT}/${user.mailbox.slice(0, 2)}/${user.mailbox}`,
      aliases: await tables.aliases.leadingTo(email),
      roles: (await tables.aliases.sharedLeadsTo(email)) ? ["postmaster@", "abuse@"] : [],
      created_at: user.createdAt,
      updated_at: user.updatedAt,
    };
  },
});
