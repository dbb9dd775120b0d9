import type { CheckName } from "../../mail/node-checks.ts";

export interface Finding {
  /** `unknown` where the machine cannot find out. */
  state: "ok" | "not_ok" | "unknown";
  found: string;
  /** The next step, if one is needed. */
  todo?: string;
}

export interface Row extends Finding {
  check: CheckName;
}

const words = { ok: "ok", not_ok: "not ok", unknown: "unknown" };

/** A line for each row, and below it what to do. */
export function tableOf(rows: readonly Row[]): string {
  return rows
    .map(({ check, state, found, todo }) => {
      const name = check === "dns" ? "DNS" : check.replaceAll("_", " ");
      const line = `${words[state].padEnd(8)} ${name.padEnd(13)} ${found}\n`;
      return todo === undefined ? line : `${line}${" ".repeat(23)}${todo}\n`;
    })
    .join("");
}
