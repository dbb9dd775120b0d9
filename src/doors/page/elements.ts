import { printable } from "../../log/printable.ts";
import { Html, html } from "../html/html.ts";

/** Rows of a list on its own page, and of the same list on the overview. */
export const ROWS = 50;
export const FIRST_ROWS = 10;

export interface Column<Row> {
  title: string;
  kind?: "number" | "time";
  cell(row: Row): Html | string | number;
}

/**
 * A table whose rows are cards on a narrow screen. It has explicit roles, because a cell with another CSS display is no
 * cell for a screen reader.
 *
 * @param labelledBy the id of the table's heading
 */
export function table<Row>(labelledBy: string, columns: readonly Column<Row>[], rows: readonly Row[]): Html {
  const named = ({ kind }: Column<Row>) => kind !== undefined && html` class="${kind}"`;
  return html`<table role="table" aria-labelledby="${labelledBy}">
<thead role="rowgroup"><tr role="row">${columns.map(
    (column) => html`<th role="columnheader" scope="col"${named(column)}>${column.title}</th>`,
  )}</tr></thead>
<tbody role="rowgroup">
${rows.map(
  (row) => html`<tr role="row">${columns.map(
    (column) =>
      html`<td role="cell" data-label="${column.title}"${named(column)}>${asElement(column.cell(row))}</td>`,
  )}</tr>
`,
)}</tbody></table>`;
}

/** On a card the cell is a grid, which places elements only. */
function asElement(content: Html | string | number): Html {
  return content instanceof Html && content.text.startsWith("<") ? content : html`<span>${content}</span>`;
}

/** A section of a page, with a link to more beside its heading. */
export function section(id: string, title: string, content: Html, more?: Html): Html {
  return html`<section aria-labelledby="${id}">
<div class="heading"><h2 id="${id}">${title}</h2>${more}</div>
${content}
</section>
`;
}

/** Text that somebody else chose, with its invisible characters made visible. */
export function foreign(text: string): string {
  return printable(text);
}

/** @param at RFC 3339 UTC */
export function moment(at: string): Html {
  return html`<time datetime="${at}">${at.slice(0, 10)} ${at.slice(11, 19)}</time>`;
}

const relative = new Intl.RelativeTimeFormat("en");
const UNITS = [
  ["day", 86_400_000],
  ["hour", 3_600_000],
  ["minute", 60_000],
] as const;

/** The time since a moment; the moment itself if it is in the future. */
export function ago(at: string, now: Date): Html {
  const elapsed = now.getTime() - Date.parse(at);
  if (elapsed < 0) return moment(at);
  const [unit, length] = UNITS.find(([, ms]) => elapsed >= ms) ?? [];
  const text =
    unit === undefined ? "less than a minute ago" : relative.format(-Math.floor(elapsed / length), unit);
  return html`<time datetime="${at}" title="${at}">${text}</time>`;
}

export function number(value: number): string {
  return value.toLocaleString("en");
}

/** @returns such as "1 mailbox" or "1,200 mailboxes" */
export function counted(value: number, singular: string, plural = `${singular}s`): string {
  return `${number(value)} ${value === 1 ? singular : plural}`;
}

export function bytes(value: number): string {
  const [unit, size] = value >= 1e9 ? ["GB", 1e9] : value >= 1e6 ? ["MB", 1e6] : ["kB", 1e3];
  return `${(value / Number(size)).toFixed(1)} ${unit}`;
}

/** A link to the next page of a list. */
export function nextPage(cursor: string | null, parameters: Record<string, string> = {}): Html {
  if (cursor === null) return html``;
  return html`<p><a href="?${new URLSearchParams({ ...parameters, cursor }).toString()}">Next page</a></p>`;
}
