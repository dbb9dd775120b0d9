import { type Text, toOperator } from "../../mail/text.ts";
import { atTheShell } from "../cli/wording.ts";
import { type Html, html } from "../html/html.ts";

/** A text with the shell's commands, which the operator can copy. */
export function onThePage(said: Text): Html {
  return html`${toOperator(said).map((part) => (typeof part === "string" ? part : html`<code>${atTheShell([part])}</code>`))}`;
}
