/** A file that setup keeps as it shall be. */
export interface ManagedFile {
  path: string;
  text: string;
  /** The program works without it: somebody else's stays, and setup says what to see to. */
  ifLeft?: string;
}

/** A managed file as it is on the machine. */
export interface FoundFile extends ManagedFile {
  /** Its text now; undefined if there is none. */
  now: string | undefined;
  /** Its text when setup wrote it last; undefined if it never did. */
  written: string | undefined;
  /** True for a text that Debian's packages wrote. */
  isDebians: boolean;
}

export interface PlannedFile extends ManagedFile {
  /** `keep`: it is as it shall be. `leave`: it is somebody else's. */
  do: "keep" | "leave" | "create" | "update" | "replace" | "ask";
  /** For `ask`: who has changed it, and the two texts to compare. */
  because?: { what: "changed by hand" | "somebody else's"; from: string; to: string };
}

/**
 * Plans what to do with a file. `ask`: it would be lost, because somebody else wrote it, or changed it by hand since setup
 * wrote it. `replace` keeps a copy.
 */
export function planFile({ path, text, now, written, isDebians, ifLeft }: FoundFile): PlannedFile {
  if (now === text) return { path, text, do: "keep" };
  if (now === undefined) return { path, text, do: "create" };
  if (now === written) return { path, text, do: "update" };
  if (written !== undefined)
    return { path, text, do: "ask", because: { what: "changed by hand", from: written, to: now } };
  if (isDebians) return { path, text, do: "replace" };
  if (ifLeft !== undefined) return { path, text, do: "leave", ifLeft };
  return { path, text, do: "ask", because: { what: "somebody else's", from: now, to: text } };
}
