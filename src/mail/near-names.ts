const CHARACTERS = "abcdefghijklmnopqrstuvwxyz0123456789-.";

/** Longer names are skipped: they have many near names, and a typo in them rarely names another domain. */
const LONGEST = 64;

/**
 * All names that differ from this one by one typo: a character left out, added or replaced, or two neighbours exchanged
 * (Damerau). Some 80 for each of its characters; none for a name over 64.
 */
export function nearNames(name: string): string[] {
  if (name.length > LONGEST) return [];
  const near = new Set<string>();
  for (let at = 0; at <= name.length; at += 1) {
    const [before, after] = [name.slice(0, at), name.slice(at)];
    const [one = "", two = ""] = after;
    near.add(before + after.slice(1));
    near.add(before + two + one + after.slice(2));
    for (const character of CHARACTERS) {
      near.add(before + character + after.slice(1));
      near.add(before + character + after);
    }
  }
  near.delete(name);
  return [...near];
}
