import { html } from "../../doors/html/html.ts";
import { errorPage } from "./page.ts";

const MAX_LENGTH = 200;

/**
 * The address of a client's document, if it is safe to show an operator with the way to admit it; else undefined.
 * Anybody can send people to the page with an address of their choice, so the page does not repeat one that a shell or
 * a reader could mistake for something else.
 */
export function documentAddress(clientId: unknown): string | undefined {
  if (typeof clientId !== "string" || clientId.length > MAX_LENGTH) return undefined;
  if (!/^https:\/\/[a-z0-9.-]+\/[\w./~-]+$/i.test(clientId)) return undefined;
  return new URL(clientId).href === clientId ? clientId : undefined;
}

/** @param url as `documentAddress` gives it */
export const admissionFlag = (url: string): string => `--oauth-clients ${url}`;

/** @param url as `documentAddress` gives it */
export function unknownDocumentPage(url: string): string {
  return errorPage(html`This server does not know that program. It says that it is from <strong>${new URL(url).host}</strong>.</p>
<p>Anybody can send you here with an address of their own. Do nothing if you did not just ask for this yourself, or if you do not trust that name: whoever has it could then ask for access to your mail server.</p>
<p>To admit this program, start the server with this flag, then try again. If the flag is there already, append a comma and the address:</p>
<p><code>${admissionFlag(url)}</code>`);
}
