import { join } from "node:path";
import type { NodeRole } from "../sync/records.ts";
import type { FileStat, FileSystem } from "./file-system.ts";
import { type MapName, names, type Product, productsOf, stagedNames } from "./folder.ts";
import type { Identity } from "./host.ts";
import { RENDERING } from "./render.ts";
import { usersOwnership } from "./staging.ts";
import { type NodeState, parseNodeState } from "./state.ts";

/** What a run finds in DIR. */
export interface Situation {
  recorded: NodeState | undefined;
  /** What is not as it was written, or would be written otherwise now. */
  damaged: ReadonlySet<Product>;
  /** Whose .lmdb is not as it was written, and so cannot be changed in place. */
  unusable: ReadonlySet<MapName>;
  /** True when the files could be made anew without the server. */
  rebuildable: boolean;
  snapshot: boolean;
  /** True when an update did not come to its end. */
  pending: boolean;
  /** True when an operator has accepted removals here. */
  accepted: boolean;
  /** Of `users`, in whole seconds: as recorded or as found, whichever is later. */
  usersModified: number;
  leftovers: string[];
}

export interface Surroundings {
  files: FileSystem;
  identity: Identity;
  mailRoot: string;
}

/** @param role whose products to look at; without one, that of the recorded state */
export async function inspect(
  out: string,
  { files, identity, mailRoot }: Surroundings,
  role?: NodeRole,
): Promise<Situation> {
  const listed = new Set(await files.list(out));
  const recorded = parseNodeState(await files.read(join(out, names.state)));
  const intact = async (name: string): Promise<boolean> =>
    recorded !== undefined && sameFile(recorded.files[name], await files.stat(join(out, name)));

  const damaged = new Set<Product>();
  const usersFound = await files.stat(join(out, "users"));
  const owner = await usersOwnership(identity);
  const usersRecorded = recorded?.files.users;
  const products = productsOf[role ?? recorded?.applied.role ?? "mail"];
  const usersDamaged =
    !sameFile(usersRecorded, usersFound) ||
    recorded?.rendering.version !== RENDERING ||
    recorded.rendering.mail_root !== mailRoot ||
    // Dovecot was installed, or removed, since.
    (owner.owner !== undefined && usersRecorded?.gid !== owner.owner.gid);
  if (products.users && usersDamaged) {
    damaged.add("users");
  }
  const unusable = new Set<MapName>();
  for (const map of products.maps) {
    if (!(await intact(`${map}.lmdb`))) unusable.add(map);
    if (unusable.has(map) || !(await intact(map)) || recorded?.rendering.version !== RENDERING)
      damaged.add(map);
  }
  return {
    recorded,
    damaged,
    unusable,
    rebuildable: await intact(names.snapshot),
    snapshot: listed.has(names.snapshot),
    pending: listed.has(names.pending),
    accepted: listed.has(names.accepted),
    usersModified: Math.max(modifiedOf(usersRecorded), modifiedOf(usersFound)),
    leftovers: [...listed].filter((name) => stagedNames.has(name)),
  };
}

/** The files of the role's products, as they are now. */
export async function recordFiles(
  files: FileSystem,
  out: string,
  role: NodeRole,
): Promise<Record<string, FileStat>> {
  const record: Record<string, FileStat> = {};
  const products = productsOf[role];
  const written = products.maps.flatMap((map) => [map, `${map}.lmdb`]);
  for (const name of products.users ? ["users", ...written] : written) {
    const found = await files.stat(join(out, name));
    if (found !== undefined) record[name] = found;
  }
  return record;
}

export function sameFile(recorded: FileStat | undefined, found: FileStat | undefined): boolean {
  return (
    recorded !== undefined &&
    found?.regular === true &&
    found.size === recorded.size &&
    found.mtime_ns === recorded.mtime_ns &&
    found.mode === recorded.mode &&
    found.uid === recorded.uid &&
    found.gid === recorded.gid
  );
}

function modifiedOf(stat: FileStat | undefined): number {
  const seconds = Math.floor(Number(stat?.mtime_ns) / 1e9);
  return Number.isFinite(seconds) ? seconds : 0;
}
