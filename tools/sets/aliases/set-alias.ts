import * as z from "zod";
import { MailError } from "../../../src/mail/error.ts";
import { AliasAddress, EmailAddress } from "../../../src/mail/schemas.ts";
import { field, next, operator, text } from "../../../src/mail/text.ts";
import { defineTool } from "../../call/tool.ts";
import { liveFields, liveness } from "../../nodes/liveness.ts";

export const setAlias = defineTool({
  endpoint: "set-alias",
  title: "Set where an address's mail goes",
  description: text`Creates an alias or replaces its targets: a second name for a mailbox, a shared address such as info@, a forward, or with @example.nl a domain's catch-all. It replaces all targets, so name those that stay too (${next("list-aliases")}). A mailbox of the same address keeps its copy. A target outside of your domains, or an alias that leads outside, gets nothing until a person approves it (${operator("alias approve ADDRESS")}): it comes back in pending_targets; tell the person, and do not look for a way around it.`,
  effect: "write",
  replaces: true,
  input: z.strictObject({
    address: AliasAddress,
    targets: z
      .array(EmailAddress)
      .min(1)
      .max(100)
      .describe("All addresses that get its mail: mailboxes, other aliases, or addresses elsewhere."),
    send_as: z
      .boolean()
      .default(false)
      .describe("true: the mailboxes that get its mail may also send as this address. Not for a catch-all."),
  }),
  output: z.object({
    address: z.string(),
    targets: z.array(z.string()),
    live_targets: z
      .array(z.string())
      .describe(
        "Who gets its mail now, through other aliases too. Nobody: its mail bounces; tell the person.",
      ),
    pending_targets: z.array(z.string()).describe("Wait for a person's approval."),
    created: z.boolean(),
    ...liveFields,
  }),
  async run(context, { address, targets, send_as }) {
    const { tables, at } = context;
    if (address.localPart === "" && send_as) {
      throw new MailError(
        "invalid_input",
        text`${field("send_as")}: a catch-all gives nobody the right to send.`,
        "Leave it out. An alias of its own may have it, for one address.",
      );
    }
    const domain = await tables.domains.get(address.domain);
    const unique = [...new Map(targets.map((target) => [target.email, target])).values()];
    const { alias, created } = await tables.aliases.set(
      domain,
      address.localPart,
      { targets: unique, sendAs: send_as },
      at,
    );
    const resolved = (await tables.aliases.resolve([alias])).get(alias.id);
    return {
      address: alias.address,
      targets: alias.targets.map(({ email }) => email),
      live_targets: resolved?.live ?? [],
      pending_targets: resolved?.waiting ?? [],
      created,
      ...(await liveness(context, alias.domain)),
    };
  },
});
