import { terminalOf } from "../../command-line/terminal.ts";
import { confirm } from "./question.ts";
import { show } from "./show.ts";

interface Content {
  domains: number;
  mailboxes: number;
  softDeleted: number;
  changedAt: string | null;
}

interface Plan {
  now: Content;
  restored: Content;
  goingDomains: string[];
  goingMailboxes: number;
}

/** Domains to name of those that go. */
const MOST_NAMED = 10;

/** Shows what is there and what a restore would bring, and asks. @throws UsageError without a yes */
export async function confirmRestore(plan: Plan, file: string): Promise<void> {
  const said = describe(plan, file);
  await confirm(`${said}\nRestore it?`, `${said}\nTo restore it without a question, give --yes.`);
}

function describe({ now, restored, goingDomains, goingMailboxes }: Plan, file: string): string {
  const row = (content: string, { domains, mailboxes, softDeleted, changedAt }: Content) => ({
    content,
    domains,
    mailboxes: softDeleted === 0 ? mailboxes : `${mailboxes}, ${softDeleted} of them soft-deleted`,
    last_change: changedAt,
  });
  const more = goingDomains.length - MOST_NAMED;
  const named = `${goingDomains.slice(0, MOST_NAMED).join(", ")}${more > 0 ? ` and ${more} more` : ""}`;
  return [
    show({ contents: [row("now", now), row(`in ${file}`, restored)] }, terminalOf(process.stderr)),
    ...(goingDomains.length > 0 ? [`Domains that go: ${named}`] : []),
    ...(goingMailboxes > 0 ? [`Mailboxes that go: ${goingMailboxes}`] : []),
    "Passwords, quotas and aliases become those of the backup. The present content is copied to a file first.",
  ].join("\n");
}
