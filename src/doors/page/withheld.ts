import type { Result } from "../../../tools/call/tool.ts";
import { listWithheld } from "../../../tools/operator/nodes/list-withheld.ts";
import { MailError } from "../../mail/error.ts";
import { type Html, html } from "../html/html.ts";
import { alarm, form } from "../html/layout.ts";
import { counted, number } from "./elements.ts";
import { type View, viewDocument } from "./view.ts";

type WithheldList = Result<typeof listWithheld>;
type Withheld = WithheldList["nodes"][number];

/** The overview's list of withheld removals; empty without any. */
export function withheldList({ nodes, total }: WithheldList, { root, isReadOnly }: View): Html {
  if (total === 0) return html``;
  const rest = total - nodes.length;
  return html`<p>Many mailboxes or aliases were removed at once, so nodes keep serving them until you say that they were meant to go.</p>
<ul>${nodes.map(
    (node) => html`<li><span><strong>${node.name}</strong> withholds the removal of ${addresses(node)}</span>
${!isReadOnly && html`<a class="button small" href="${root}page/accept?name=${node.name}" aria-label="Let them go: removals on ${node.name}">Let them go</a>`}</li>
`,
  )}</ul>
${rest > 0 && html`<p class="quiet">And ${number(rest)} more nodes: <code>m25-mail node list</code>, <code>m25-mail node accept --all</code></p>`}
`;
}

/**
 * The question before withheld removals are accepted.
 *
 * @param seen the state in the earlier question, if it has changed since
 * @throws MailError node_not_found: the node withholds nothing
 */
export async function acceptPage(view: View, name: string | undefined, seen?: string): Promise<string> {
  const node = await withheldBy(view, name);
  const content = html`<input type="hidden" name="name" value="${name}">
<input type="hidden" name="count" value="${withheldState(node)}">
<div class="actions"><button class="main">Remove ${addresses(node)}</button><a class="button" href="${view.root}">Cancel</a></div>`;
  const changed = seen !== undefined ? "This has changed since you were asked. Nothing was done." : undefined;
  return viewDocument(
    view,
    "Let removals go",
    html`<h1>Remove ${addresses(node)} from ${name}?</h1>
${alarm(changed)}
<p>They were removed on this server; the node ${name} still takes their mail. If you go on, their mail goes back to its senders, and that cannot be undone for the mail that arrives until then.</p>
<p>If they were not meant to go, cancel, and bring them back at the server’s shell: <code>m25-mail user restore EMAIL</code>, or <code>m25-mail restore FILE</code>. <a href="${view.root}page/changes">See the last changes</a>.</p>
${form({ action: `${view.root}page/accept`, csrf: view.csrf }, content)}`,
  );
}

/** @throws MailError node_not_found, invalid_input */
export async function withheldBy(view: Pick<View, "ask">, name: string | undefined): Promise<Withheld> {
  const { nodes } = await view.ask(listWithheld, { name: name ?? "", limit: 1 });
  const [node] = nodes;
  if (node !== undefined) return node;
  throw new MailError(
    "node_not_found",
    `The node ${name} no longer withholds removals, or does not exist.`,
    "Nothing was changed.",
  );
}

/** How many of each kind: "120 mailboxes and 1 alias". */
export function addresses({ users, aliases, domain_aliases }: Withheld): string {
  const kinds = [
    counted(users, "mailbox", "mailboxes"),
    counted(aliases, "alias", "aliases"),
    counted(domain_aliases, "domain alias", "domain aliases"),
  ];
  return new Intl.ListFormat("en").format(kinds.filter((kind) => !kind.startsWith("0 ")));
}

/** The numbers that a question showed. Its form must repeat them. */
export function withheldState({ users, aliases, domain_aliases }: Withheld): string {
  return [users, aliases, domain_aliases].join(" ");
}
