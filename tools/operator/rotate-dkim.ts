import * as z from "zod";
import { DKIM_DAYS } from "../../src/mail/dkim-key.ts";
import { MailError } from "../../src/mail/error.ts";
import { DomainName } from "../../src/mail/schemas.ts";
import { next, text } from "../../src/mail/text.ts";
import { defineTool } from "../call/tool.ts";
import { owningDomain } from "../sets/owning-domain.ts";

export const rotateDkim = defineTool({
  endpoint: "rotate-dkim",
  title: "Replace a domain's DKIM keys",
  description:
    "Lets each node that signs mail of a domain make another key, with another selector. The node signs with the old one until " +
    "the new record is in DNS.",
  effect: "write",
  input: z.strictObject({ domain: DomainName }),
  output: z.object({
    domain: z.string(),
    asked: z.int().describe("Nodes that make another key, within ten minutes."),
    keep_old_record_days: z.int().describe("Days for which the old record must stay after that."),
  }),
  async run({ tables }, { domain }) {
    await owningDomain(tables, domain);
    const asked = await tables.dkimKeys.replace(domain);
    if (asked === 0) {
      throw new MailError(
        "invalid_input",
        `No key of ${domain} can be replaced: no node signs its mail, or each has a newer key whose record is missing.`,
        text`Nothing was changed. See the records with ${next("check-domain", { domain })}.`,
      );
    }
    return { domain, asked, keep_old_record_days: DKIM_DAYS };
  },
});
