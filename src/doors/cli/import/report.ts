import type { Planned } from "../../../../tools/operator/import/plan.ts";
import { printable } from "../../../log/printable.ts";
import type { LeftOut } from "./source.ts";

/** The outcome of an import, or of its plan. */
export interface Imported {
  domains: readonly Planned[];
  mailboxes: readonly Planned[];
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
  const { domains, mailboxes, revision } = imported;
  const leftOut = imported.leftOut.map(
    ({ name, reason }): Planned => ({ name, outcome: "left_out", reason }),
  );
  if (asJson) {
    const result = { domains, mailboxes, others: leftOut, ...(!isDry && { revision }) };
    return `${printable(JSON.stringify(result))}\n`;
  }
  const lines = [...domains, ...mailboxes, ...leftOut].map(
    ({ name, outcome, reason }) =>
      `${WORDS[outcome].padEnd(WIDTH)}  ${printable(name)}${reason === undefined ? "" : `: ${reason}`}\n`,
  );
  return lines.join("") + summary(mailboxes, isDry);
}

function summary(mailboxes: readonly Planned[], isDry: boolean): string {
  const count = (wanted: Planned["outcome"]) => mailboxes.filter(({ outcome }) => outcome === wanted).length;
  const numbers = Object.entries(WORDS).map(
    ([outcome, words]) => `${words} ${count(outcome as Planned["outcome"])}`,
  );
  const lines = [`Mailboxes: ${numbers.join(", ")}`];
  if (count("new_password") > 0) {
    lines.push(
      "Mail arrives in a mailbox that needs a new password, but nobody can log in: m25-mail call update-password --email EMAIL",
    );
  }
  if (isDry) lines.push("Nothing was changed.");
  return `${lines.join("\n")}\n`;
}
