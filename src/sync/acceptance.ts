/**
 * An operator's acceptance of removals up to a revision, as sent: `REVISION;n=COUNT`, an RFC 9651 item.
 * A second acceptance at the same revision has another count, so that nodes tell the two apart.
 */
export function acceptanceOf(revision: number, count: number): string {
  return `${revision};n=${count}`;
}

/** The accepted revision; undefined when the text is missing or invalid. */
export function acceptedRevision(word: string | undefined): number | undefined {
  const match = /^(\d{1,15});n=\d{1,15}$/.exec(word ?? "");
  return match === null ? undefined : Number(match[1]);
}
