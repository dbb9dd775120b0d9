import * as z from "zod";
import { EmailAddress, QuotaMb } from "../../../src/mail/schemas.ts";
import { defineTool } from "../../call/tool.ts";
import { liveFields, liveness } from "../../nodes/liveness.ts";
import { refuseInactive } from "../../update-password.ts";

export const setQuota = defineTool({
  endpoint: "set-quota",
  title: "Change a mailbox's quota",
  description: "Changes the size limit of an active mailbox.",
  effect: "write",
  input: z.strictObject({ email: EmailAddress, quota_mb: QuotaMb }),
  output: z.object({ email: z.string(), quota_mb: z.int(), ...liveFields }),
  async run(context, { email, quota_mb }) {
    const { tables, at } = context;
    const user = await tables.users.get(email);
    refuseInactive(user);
    if (user.quotaMb !== quota_mb) await tables.users.update(user, { quotaMb: quota_mb }, at);
    return { email: user.email, quota_mb, ...(await liveness(context, user.domain)) };
  },
});
