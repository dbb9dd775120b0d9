/** The abilities of a terminal. */
export interface Terminal {
  columns: number;
  hasColours: boolean;
}

/** Widths that `script` and serial lines report as 0. */
const USUAL_COLUMNS = 80;

/** The terminal that a stream leads to; undefined for a file or a pipe. Node decides about colours, by NO_COLOR and TERM too. */
export function terminalOf(stream: NodeJS.WriteStream): Terminal | undefined {
  if (!stream.isTTY) return undefined;
  return { columns: stream.columns || USUAL_COLUMNS, hasColours: stream.hasColors() };
}

/** Codes of ECMA-48, Select Graphic Rendition. */
const styles = { bold: 1, red: 31, green: 32, yellow: 33 } as const;

export function styled(text: string, style: keyof typeof styles, terminal: Terminal | undefined): string {
  return terminal?.hasColours === true ? `\x1b[${styles[style]}m${text}\x1b[0m` : text;
}

const UNITS: readonly [name: string, milliseconds: number][] = [
  ["day", 86_400_000],
  ["hour", 3_600_000],
  ["minute", 60_000],
  ["second", 1000],
];

/** How long ago a time is, or how far ahead: "2 hours ago", "in 1 day". A clock that was set back puts a past time ahead. */
export function relative(at: string, now: number): string {
  const age = now - Date.parse(at);
  const [unit, milliseconds] = UNITS.find(([, one]) => Math.abs(age) >= one) ?? [];
  if (unit === undefined || milliseconds === undefined) return "just now";
  const count = Math.floor(Math.abs(age) / milliseconds);
  const words = `${count} ${unit}${count === 1 ? "" : "s"}`;
  return age > 0 ? `${words} ago` : `in ${words}`;
}
