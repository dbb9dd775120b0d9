const CHARACTERS = "abcdefghijklmnopqrstuvwxyz0123456789-.";

/** In longer names a slip is rare to matter, and there are many ways to make one. */
const LONGEST = 64;

/**
 * All names that are one slip of typing away from this one: a character left out, added or another, or two neighbours
 * exchanged (Damerau). Some 80 for each of its characters; none for a name over 64.
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
