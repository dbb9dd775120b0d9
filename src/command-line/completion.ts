/** A command for the completion: its words, its flags, and the words that its first argument can be. */
export interface Completed {
  name: string;
  flags: readonly string[];
  words?: readonly string[];
}

/**
 * A script for bash that completes the words and flags of a program without starting it. Where it knows no word, bash completes
 * file names.
 */
export function completionScript(program: string, commands: readonly Completed[]): string {
  const own = `_${program.replaceAll("-", "_")}`;
  const next = new Map<string, Set<string>>();
  for (const { name, words = [] } of commands) {
    const parts = name.split(" ");
    for (const [at, part] of parts.entries()) addTo(next, parts.slice(0, at).join(" "), part);
    for (const word of words) addTo(next, name, word);
  }
  const ofWords = [...next].map(([before, after]) => `    "${before}") words="${[...after].join(" ")}" ;;\n`);
  // A longer name first: "call add-user" before "call".
  const byLength = [...commands].sort((a, b) => b.name.length - a.name.length);
  const ofFlags = byLength.map(({ name, flags }) => `    "${name} "*) flags="${flags.join(" ")}" ;;\n`);
  return `# Completion of ${program} for bash: source <(${program} completion)
${own}() {
  local current="\${COMP_WORDS[COMP_CWORD]}" typed="\${COMP_WORDS[*]:1:COMP_CWORD-1}" words="" flags=""
  case "$typed" in
${ofWords.join("")}  esac
  case "$typed " in
${ofFlags.join("")}  esac
  [[ "$current" == -* ]] && words="$flags"
  COMPREPLY=($(compgen -W "$words" -- "$current"))
}
complete -o bashdefault -o default -F ${own} ${program}
`;
}

function addTo(next: Map<string, Set<string>>, before: string, word: string): void {
  next.set(before, (next.get(before) ?? new Set()).add(word));
}
