import * as z from "zod";
import type { User } from "../../../db/users/rows.ts";
import { MailError } from "../../../src/mail/error.ts";
import { EmailAddress, QuotaMb } from "../../../src/mail/schemas.ts";
import { next, text } from "../../../src/mail/text.ts";
import { isLoginOn, loginState, loginStates, withoutLogin } from "../../call/login.ts";
import { defineTool } from "../../call/tool.ts";
import { liveFields, liveness } from "../../nodes/liveness.ts";
import { refuseInactive } from "../../update-password.ts";

const LoginState = z.enum(["on", "off"]);

export const setUser = defineTool({
  endpoint: "set-user",
  title: "Set a mailbox's quota or login",
  description: text`Changes an active mailbox's quota, or turns its login off or on; with neither it changes nothing and shows both. Login off: within a minute its password stops working for IMAP and for sending, and open sessions end, but mail keeps arriving. Login on: the same password works again. Use it to block a person and keep their mail; ${next("remove-user")} would let mail to them bounce.`,
  effect: "write",
  input: z.strictObject({
    email: EmailAddress,
    quota_mb: QuotaMb.optional().describe("Mailbox size limit in MiB; left out, it stays."),
    login: LoginState.optional().describe("Whether its owner can log in; left out, that stays."),
  }),
  output: z.object({
    email: z.string(),
    quota_mb: z.int(),
    login: z.enum(loginStates).describe("no_password: its owner has yet to choose one."),
    ...liveFields,
  }),
  async run(context, { email, quota_mb, login }) {
    const { tables, at } = context;
    const user = await tables.users.get(email);
    refuseInactive(user);
    if (login === "off") await tables.passwordLinks.end(user);
    const change = { ...loginChange(user, login), ...(quota_mb !== undefined && { quotaMb: quota_mb }) };
    const isChanged = Object.entries(change).some(([name, value]) => user[name as keyof User] !== value);
    const changed = isChanged ? await tables.users.update(user, change, at) : user;
    return {
      email: user.email,
      quota_mb: changed.quotaMb,
      login: loginState(changed),
      ...(Object.keys(change).length === 0 && login === undefined
        ? { revision: await tables.state.revision() }
        : await liveness(context, user.domain)),
    };
  },
});

/** @throws MailError no_password when there is no password to log in with */
function loginChange(user: User, login: z.output<typeof LoginState> | undefined) {
  if (login === undefined || (login === "on") === isLoginOn(user)) return {};
  if (login === "off") return withoutLogin(user);
  if (user.heldHash !== null) return { passwordHash: user.heldHash, heldHash: null };
  throw new MailError(
    "no_password",
    `The mailbox ${user.email} has no password yet, so nobody can log in.`,
    text`Nothing was changed. Its owner chooses one by a link, which turns the login on: ${next("create-password-link", { email: user.email, kind: "first" })}.`,
  );
}
