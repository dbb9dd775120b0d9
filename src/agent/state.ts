import { join } from "node:path";
import type { Counts, MailState } from "../sync/answer.ts";
import { type NodeRole, nodeRoles } from "../sync/records.ts";
import { explain } from "./faults.ts";
import type { FileStat, FileSystem } from "./file-system.ts";
import { names, stagedName } from "./folder.ts";
import type { Host } from "./host.ts";
import type { Hours } from "./losses.ts";
import { PRIVATE, replaceFile } from "./staging.ts";

/** state.json: what was applied last, and what each file was like then. */
export interface NodeState {
  format: 1;
  /** What is in service: digest and counts are with those who are withheld. */
  applied: {
    role: NodeRole;
    history: string;
    revision: number;
    digest: string;
    counts: Counts;
    at: string;
  };
  /** The server's own state of that revision, for the next question. */
  server: { digest: string; cursor: string };
  /** Users in service whom the server no longer has; see losses.ts. */
  withheld: {
    users: number;
    /** The revisions from and up to which they have been missing. */
    first: number;
    last: number;
    /** RFC 3339. */
    since: string;
  } | null;
  hours: Hours;
  /**
   * Of an mx that still has the files of when it had mailboxes: the counted hours in which Dovecot last used them, as
   * far as is known, and was last asked. See former-role.ts.
   */
  former?: { used: number; asked: number } | undefined;
  /** How often in a row the server answered with a history that this node has left; see asking.ts. */
  returned?: { history: string; times: number } | undefined;
  /** What besides the state decides the bytes of the files. */
  rendering: { version: number; mail_root: string };
  files: Record<string, FileStat>;
  /** When the server last took the report that this state is in service; null where it was told otherwise since. */
  reported_at: string | null;
  /** The public part of the key that it took the report with; earlier versions noted none. */
  reported_with?: string | undefined;
}

export function isState(recorded: NodeState["applied"], state: MailState): boolean {
  return (
    recorded.role === state.role &&
    recorded.history === state.history &&
    recorded.revision === state.revision &&
    recorded.digest === state.digest
  );
}

export function countsOf(state: MailState): Counts {
  return { domains: state.domains.size, users: state.users.size };
}

/** Reads state.json; one that is damaged counts as none, and everything is then made anew. */
export function parseNodeState(text: string | undefined): NodeState | undefined {
  if (text === undefined) return undefined;
  try {
    const state = JSON.parse(text) as Partial<NodeState> | null;
    const { applied, server, withheld, hours, rendering, files, reported_at } = state ?? {};
    const valid =
      state?.format === 1 &&
      isIdentity(applied) &&
      typeof server?.digest === "string" &&
      typeof server.cursor === "string" &&
      (withheld === null || Number.isSafeInteger(withheld?.first)) &&
      Number.isSafeInteger(hours?.count) &&
      Number.isSafeInteger(applied.counts.domains) &&
      Number.isSafeInteger(applied.counts.users) &&
      typeof rendering?.mail_root === "string" &&
      typeof files === "object" &&
      files !== null &&
      (reported_at === null || typeof reported_at === "string");
    return valid ? (state as NodeState) : undefined;
  } catch {
    return undefined;
  }
}

function isIdentity(value: Partial<NodeState["applied"]> | undefined): value is NodeState["applied"] {
  return (
    nodeRoles.some((role) => role === value?.role) &&
    typeof value?.history === "string" &&
    Number.isSafeInteger(value.revision) &&
    typeof value.digest === "string" &&
    typeof value.at === "string"
  );
}

export async function writeNodeState(files: FileSystem, out: string, state: NodeState): Promise<void> {
  const text = `${JSON.stringify(state, undefined, 2)}\n`;
  await replaceFile(files, join(out, stagedName(names.state)), join(out, names.state), [text], PRIVATE);
}

/** The same, where this run can do without: the next one then knows less. */
export async function noteNodeState({ files, log }: Host, out: string, state: NodeState): Promise<void> {
  try {
    await writeNodeState(files, out, state);
  } catch (error) {
    log(`warning: state.json could not be written: ${explain(error)}`);
  }
}
