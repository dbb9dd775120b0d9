import type { Result } from "../../../tools/call/tool.ts";
import { listWaitingAliases, seenOf } from "../../../tools/operator/aliases.ts";
import { MailError } from "../../mail/error.ts";
import { type Html, html } from "../html/html.ts";
import { alarm, form } from "../html/layout.ts";
import { ROWS } from "./elements.ts";
import { type View, viewDocument } from "./view.ts";

type Forward = Result<typeof listWaitingAliases>["waiting"][number];

/** Targets of aliases that wait for approval, with one more than the overview shows. */
export async function waitingForwards({ ask }: Pick<View, "ask">): Promise<Forward[]> {
  return (await ask(listWaitingAliases, { limit: ROWS + 1 })).waiting;
}

/** The overview's list of targets that wait; empty without any. */
export function forwardList(forwards: readonly Forward[], { root, isReadOnly }: View): Html {
  if (forwards.length === 0) return html``;
  return html`<p>Mail would leave this system by these aliases. Nothing goes there until you approve it.</p>
<ul>${forwards.slice(0, ROWS).map(
    ({ alias, target }) => html`<li><span>Mail for <strong>${alias}</strong> to ${target}</span>
${!isReadOnly && html`<a class="button small" href="${root}page/forward?${new URLSearchParams({ alias, target }).toString()}" aria-label="Decide: mail for ${alias} to ${target}">Decide</a>`}</li>
`,
  )}</ul>
${forwards.length > ROWS && html`<p class="quiet">And more: <code>m25-mail alias list-waiting</code></p>`}
`;
}

/**
 * The question before a target is approved or refused.
 *
 * @param seen the state in the earlier question, if it has changed since
 * @throws MailError alias_not_found: the target does not wait
 */
export async function forwardPage(view: View, asked: ForwardName, seen?: string): Promise<string> {
  const forward = await waitingForward(view, asked);
  const { alias, target, leads_to, also_from } = forward;
  const content = html`<input type="hidden" name="alias" value="${alias}">
<input type="hidden" name="target" value="${target}">
<input type="hidden" name="seen" value="${seenOf([forward])}">
<div class="actions"><button class="main" name="answer" value="approve">Approve</button>
<button name="answer" value="refuse">Refuse</button>
<a class="button" href="${view.root}">Cancel</a></div>`;
  const changed = seen !== undefined ? "This has changed since you were asked. Nothing was done." : undefined;
  return viewDocument(
    view,
    "Mail that would leave",
    html`<h1>Let mail for ${alias} go to ${target}?</h1>
${alarm(changed)}
<dl>
<dt>Mail for</dt><dd>${alias}</dd>
<dt>Goes to</dt><dd>${target}</dd>
${leads_to.length > 0 && html`<dt>Which leads to</dt><dd>${leads_to.join(", ")}</dd>`}
${also_from.length > 0 && html`<dt>Also mail for</dt><dd>${also_from.join(", ")}</dd>`}
</dl>
<p>Somebody who misled an assistant may have asked for this. Approve it only if the person behind ${alias} wants it: a copy of each mail then leaves this system. Refuse takes the address out of the alias.</p>
${form({ action: `${view.root}page/forward`, csrf: view.csrf }, content)}`,
  );
}

/** A waiting target by its alias, as a request names them. */
export interface ForwardName {
  alias: string | undefined;
  target: string | undefined;
}

/** @throws MailError alias_not_found, invalid_input */
export async function waitingForward(
  view: Pick<View, "ask">,
  { alias, target }: ForwardName,
): Promise<Forward> {
  const { waiting } = await view.ask(listWaitingAliases, {
    address: alias ?? "",
    targets: [target ?? ""],
    limit: 1,
  });
  const [forward] = waiting;
  if (forward !== undefined) return forward;
  throw new MailError(
    "alias_not_found",
    `The target ${target} of ${alias} no longer waits, or does not exist.`,
    "Nothing was changed.",
  );
}
