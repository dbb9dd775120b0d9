/** More is another word: as commander judges it. */
const MOST_TYPOS = 3;
const MOST_DIFFERENT = 0.4;
const SHORTEST_BEGINNING = 3;

/** The known word that this one begins, if it is the only one, or that differs from it by the fewest typos; undefined if none is like it. */
export function nearest(word: string, known: readonly string[]): string | undefined {
  const [begun, another] = known.filter((one) => one.startsWith(word));
  if (begun !== undefined && another === undefined && word.length >= SHORTEST_BEGINNING) return begun;
  const [best] = known
    .map((one) => ({ one, count: typos(word, one) }))
    .filter(
      ({ one, count }) => count <= MOST_TYPOS && count < MOST_DIFFERENT * Math.max(word.length, one.length),
    )
    .sort((a, b) => a.count - b.count);
  return best?.one;
}

/** The number of characters to add, leave out, replace or exchange with their neighbour (optimal string alignment). */
function typos(from: string, to: string): number {
  let before: number[] = [];
  let row = Array.from({ length: to.length + 1 }, (_, column) => column);
  for (let at = 1; at <= from.length; at += 1) {
    const next = [at];
    for (let column = 1; column <= to.length; column += 1) {
      const isSame = from[at - 1] === to[column - 1];
      const isExchanged = from[at - 1] === to[column - 2] && from[at - 2] === to[column - 1];
      next[column] = Math.min(
        (row[column] ?? 0) + 1,
        (next[column - 1] ?? 0) + 1,
        (row[column - 1] ?? 0) + (isSame ? 0 : 1),
        isExchanged ? (before[column - 2] ?? 0) + 1 : Number.POSITIVE_INFINITY,
      );
    }
    before = row;
    row = next;
  }
  return row.at(-1) ?? 0;
}
