import { join } from "node:path";
import type { Workplace } from "./apply.ts";
import { homeOf } from "./dovecot.ts";
import { explain } from "./faults.ts";
import type { FileSystem } from "./file-system.ts";
import { type NodeState, writeNodeState } from "./state.ts";

/** What a node that has become an mx still has of its mailboxes: their password hashes above all. */
const FORMER = ["senders.lmdb", "senders", "users"] as const;

/** Counted hours, as in losses.ts. */
const KEPT = 24;

/**
 * Removes the hashes from a node that is an mx and stays one. A role may be set by mistake, and a Dovecot that loses its
 * passwd-file bounces all mail: so they go once what the mx serves is applied and proved, nothing is withheld, and 24
 * counted hours have passed since Dovecot was last seen to serve from them. It is asked once in each hour.
 *
 * @returns what state.json says then
 */
export async function clearFormerRole(place: Workplace, state: NodeState): Promise<NodeState> {
  const { host, config, commands } = place;
  const { files } = host;
  if (state.applied.role !== "mx" || state.withheld !== null) return state;
  const left = await formerFiles(files, config.out);
  if (left.length === 0) return state;
  const hour = state.hours.count;
  const { former } = state;
  if (former !== undefined && hour <= former.asked) return state;
  try {
    if (former === undefined) return await record(place, { ...state, former: { used: hour, asked: hour } });
    const serves = await isServed(place, commands.doveadm);
    const used = serves ? hour : former.used;
    if (hour - used < KEPT) return await record(place, { ...state, former: { used, asked: hour } });
    for (const name of left) await files.remove(join(config.out, name));
    await files.sync(config.out);
    host.log("removed users and senders, with the password hashes of when this node had mailboxes");
    return await record(place, { ...state, former: undefined });
  } catch (error) {
    host.log(`warning: users and senders of when this node had mailboxes stay: ${explain(error)}`);
    return state;
  }
}

/** Which of them are still there. */
export async function formerFiles(files: FileSystem, out: string): Promise<string[]> {
  const there = new Set(await files.list(out));
  return FORMER.filter((name) => there.has(name));
}

/** True when Dovecot has a home of ours for whoever stands first in `users`. */
async function isServed(
  { host, config }: Workplace,
  doveadm: readonly string[] | undefined,
): Promise<boolean> {
  if (doveadm === undefined) return false;
  const [user = "", , , , , home = ""] = (await firstLine(host.files, join(config.out, "users"))).split(":");
  return home !== "" && (await homeOf(host, doveadm, user)).home === home;
}

async function firstLine(files: FileSystem, path: string): Promise<string> {
  if ((await files.stat(path)) === undefined) return "";
  for await (const piece of files.readPieces(path)) return piece.split("\n", 1)[0] ?? "";
  return "";
}

async function record({ host, config }: Workplace, state: NodeState): Promise<NodeState> {
  await writeNodeState(host.files, config.out, state);
  return state;
}
