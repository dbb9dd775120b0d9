import { styled, terminalOf } from "../command-line/terminal.ts";

export interface Finding {
  /** `unknown` where the machine cannot find out. */
  state: "ok" | "not_ok" | "unknown";
  found: string;
  /** The next step, if one is needed. */
  todo?: string;
}

/** A finding and what was checked. */
export interface Row extends Finding {
  check: string;
}

const words = { ok: "ok", not_ok: "not ok", unknown: "unknown" };
const colours = { ok: "green", not_ok: "red", unknown: "yellow" } as const;

/** A line for each row, and below it what to do. */
export function tableOf(rows: readonly Row[]): string {
  const terminal = terminalOf(process.stdout);
  return rows
    .map(({ check, state, found, todo }) => {
      const name = check === "dns" ? "DNS" : check.replaceAll("_", " ");
      const said = styled(words[state].padEnd(8), colours[state], terminal);
      const line = `${said} ${name.padEnd(13)} ${found}\n`;
      return todo === undefined ? line : `${line}${" ".repeat(23)}${todo}\n`;
    })
    .join("");
}
