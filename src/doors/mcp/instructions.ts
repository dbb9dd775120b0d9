import type { Principal } from "../../../tools/call/principal.ts";
import type { Settings, Tool } from "../../../tools/call/tool.ts";
import { listNodes } from "../../../tools/list-nodes.ts";
import type { Endpoint } from "../../mail/text.ts";

const SUBJECT = "on real mail servers (nodes), with M25 Mail.";

const NOT_KNOWN = "spam filters, delivery logs";
const USAGE_NOT_KNOWN = "space used, last logins";

const SAY_SO = "Say so and name the operator, who runs the server; do not guess.";

const DNS =
  "m25_mail_check_domain compares a domain's DNS records with those that its mail needs, and gives the lines for its zone. You cannot change DNS.";

const READ_ONLY = `List and find e-mail domains, mailboxes (users, accounts), their quota and status, ${SUBJECT}
Here you can only look: for a change, send the person to the operator.`;

/** Hosts that hide tools behind a search show this line alone: it has the words that people search for. */
const FIRST_LINE = `Create a mailbox (e-mail account, user) with its quota, reset a password, delete, restore, list and find mailboxes and e-mail domains, ${SUBJECT}`;

const OF_ALL_DOMAINS =
  "Call no change live before m25_mail_list_nodes shows it: a node's applied_revision reaches the change's revision within a minute. You cannot wait for that and report later.";

const WITHOUT_NODES = "A change is live within a minute, unless its result has a note.";

const OF_SOME_DOMAINS = `${WITHOUT_NODES} Your access is for some domains only: others, and the nodes, are the operator's.`;

const PEOPLE = `m25_mail_set_user changes a quota, and turns a login off and on: mail keeps arriving, and the password stays.
Rather than choose or repeat a password, let the owner choose it: m25_mail_invite_user for a new mailbox, m25_mail_create_password_link for another. Their url opens the mailbox: only for its owner.`;

const ALIASES =
  "m25_mail_set_alias makes an alias, a forward or a catch-all, and replaces the targets that it had: see m25_mail_list_aliases first; m25_mail_set_domain_alias makes one domain the alias of another. Forwarding to an address outside waits for a person's approval: say so, and look for no way around it.";

/** The server's instructions, which a model reads first. */
export function instructionsFor(
  tools: readonly Tool[],
  { domains }: Principal,
  { purgeInactiveAfter: days }: Settings = {},
): string {
  const offers = (name: Endpoint) => tools.some(({ endpoint }) => endpoint === name);
  const further = offers("list-usage") ? NOT_KNOWN : `${NOT_KNOWN}, ${USAGE_NOT_KNOWN}`;
  const notKnown = offers("check-domain")
    ? `${DNS}\nNot known here: mail servers' ports, ${further}. ${SAY_SO}`
    : `Not known here: mail servers' names and ports, DNS records, ${further}. ${SAY_SO}`;
  if (tools.every(({ effect }) => effect === "read")) return `${READ_ONLY}\n${notKnown}`;
  const setsUsers = offers("set-user");
  const setsAliases = offers("set-alias");
  return `${FIRST_LINE}
To create a mailbox: m25_mail_add_domain once for its domain, then m25_mail_add_user. A domain with letters such as ü is shown in its form xn--…; either form works, for a login too. ${liveOn(tools, domains)}
Ask the person before hard_delete: true and m25_mail_remove_domain, unless they have already said that it is for good: neither can be undone. m25_mail_remove_user without it can be (m25_mail_add_user)${days === undefined ? "" : `, for ${days} days`}. Nothing else has an undo: a replaced password is gone. Ask too before you change several passwords, and when a name fits several mailboxes.
Only the operator, at the server's shell, can ${setsUsers ? "" : "change a quota, "}rename a mailbox, restore a removed mailbox with the password it had, tell who changed what, change how many recipients a mailbox may write to, limit or remove a node, or give others access, to some domains or all (m25-mail ${setsUsers ? "" : "user set, "}user rename, user restore, audit, user set-limits, node set, node remove, token create): say so, and never remove and re-create a mailbox for it. The operator may be the person you talk to.
There are no ${setsAliases ? "" : "aliases, forwarding, catch-alls, "}autoresponders or fetching from other providers: say so, and make no mailbox instead unless the person then asks for one. ${notKnown}${setsUsers ? `\n${PEOPLE}` : ""}${setsAliases ? `\n${ALIASES}` : ""}
Errors, notes and hints say what to do next. Tell the person what a note says, once. Never repeat a password or a sync key except to the person who needs it.`;
}

/** How the model learns that a change is live. */
function liveOn(tools: readonly Tool[], domains: Principal["domains"]): string {
  if (domains !== undefined) return OF_SOME_DOMAINS;
  return tools.includes(listNodes) ? OF_ALL_DOMAINS : WITHOUT_NODES;
}
