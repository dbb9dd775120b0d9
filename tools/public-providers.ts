import { MailError } from "../src/mail/error.ts";
import { operator, text } from "../src/mail/text.ts";

/**
 * Refuses a public mail provider's domain: mail to all its addresses from this system's mailboxes would stay here.
 *
 * @param domain in its stored form
 * @throws MailError forbidden
 */
export async function refusePublicProvider(domain: string): Promise<void> {
  const { default: providers } = await import("email-providers/all.json", { with: { type: "json" } });
  if (!providers.includes(domain)) return;
  throw new MailError(
    "forbidden",
    `${domain} is the domain of a public mail provider: mail to all its addresses from mailboxes here would stay here.`,
    text`Nothing was changed. Register a domain that the person owns. If this one is theirs, the operator registers it: ${operator(`call add-domain --domain ${domain} --public-provider`)}.`,
  );
}
