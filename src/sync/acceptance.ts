/**
 * An operator's word that removals up to a revision may go, as it travels: `REVISION;n=COUNT`, an item of RFC 9651.
 * Said again at the same revision it has another count, and is another word.
 */
export function acceptanceOf(revision: number, count: number): string {
  return `${revision};n=${count}`;
}

/** Up to which revision; undefined for no word, and for what is none. */
export function acceptedRevision(word: string | undefined): number | undefined {
  const match = /^(\d{1,15});n=\d{1,15}$/.exec(word ?? "");
  return match === null ? undefined : Number(match[1]);
}
