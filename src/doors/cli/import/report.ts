import type { Planned } from "../../../../tools/operator/import/outcome.ts";
import { printable } from "../../../log/printable.ts";
import type { LeftOut } from "./source.ts";

/** The outcome of an import, or of its plan. */
export interface Imported {
  domains: readonly Planned[];
  mailboxes: readonly Planned[];
  domain_aliases: readonly Planned[];
  aliases: readonly Planned[];
  waiting_targets: number;
  leftOut: readonly LeftOut[];
  revision: number;
}

const WORDS: Readonly<Record<Planned["outcome"], string>> = {
  taken: "taken",
  new_password: "needs a new password",
  left_out: "left out",
};

const WIDTH = 20;

/** The report of an import: a line for each domain, address and record left out, then their numbers. */
export function reportOf(imported: Imported, { isDry, asJson }: { isDry: boolean; asJson: boolean }): string {
  const { domains, mailboxes, domain_aliases, aliases, waiting_targets, revision } = imported;
  const leftOut = imported.leftOut.map(
    ({ name, reason }): Planned => ({ name, outcome: "left_out", reason }),
  );
  if (asJson) {
    const result = {
      domains,
      mailboxes,
      domain_aliases,
      aliases,
      waiting_targets,
      others: leftOut,
      ...(!isDry && { revision }),
    };
    return `${printable(JSON.stringify(result))}\n`;
  }
  const lines = [...domains, ...mailboxes, ...domain_aliases, ...aliases, ...leftOut].map(
    ({ name, outcome, reason }) =>
      `${WORDS[outcome].padEnd(WIDTH)}  ${printable(name)}${reason === undefined ? "" : `: ${reason}`}\n`,
  );
  return lines.join("") + summary(imported, isDry);
}

function summary({ mailboxes, aliases, waiting_targets }: Imported, isDry: boolean): string {
  const count = (wanted: Planned["outcome"]) => mailboxes.filter(({ outcome }) => outcome === wanted).length;
  const numbers = Object.entries(WORDS).map(
    ([outcome, words]) => `${words} ${count(outcome as Planned["outcome"])}`,
  );
  const lines = [`Mailboxes: ${numbers.join(", ")}`];
  if (count("new_password") > 0) {
    lines.push(
      "Mail arrives in a mailbox that needs a new password, but nobody can log in: m25-mail user passwd EMAIL",
    );
  }
  if (aliases.length > 0) {
    const taken = aliases.filter(({ outcome }) => outcome === "taken").length;
    lines.push(`Aliases: taken ${taken}, left out ${aliases.length - taken}`);
  }
  if (waiting_targets > 0) lines.push(waitingLine(waiting_targets));
  if (isDry) lines.push("Nothing was changed.");
  return `${lines.join("\n")}\n`;
}

/** The next step for targets elsewhere that wait. */
export function waitingLine(count: number): string {
  const what = count === 1 ? "1 target elsewhere gets no mail" : `${count} targets elsewhere get no mail`;
  const them = count === 1 ? "it" : "them";
  return `${what} until you approve ${them}: m25-mail alias list-waiting, or --approve-outside here`;
}
