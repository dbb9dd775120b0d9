import { join } from "node:path";
import type { MailState } from "../sync/answer.ts";
import type { Config } from "./config.ts";
import { endSessions, untilDovecotLooks } from "./dovecot.ts";
import { FINAL_USERS, type MapName, names, productsOf, stagedName } from "./folder.ts";
import type { Host, Lock } from "./host.ts";
import { renderKept } from "./kept-file.ts";
import { noteChanges } from "./lookup.ts";
import { type Hours, type Kept, servedOf } from "./losses.ts";
import { type Plan, planUpdate } from "./plan.ts";
import { postmap } from "./postmap.ts";
import {
  RENDERING,
  renderDomains,
  renderMailboxes,
  renderSenders,
  renderUsers,
  unionOfUsers,
} from "./render.ts";
import { recordFiles, type Situation } from "./situation.ts";
import {
  mapsOwnership,
  type Ownership,
  PRIVATE,
  removeQuietly,
  usersOwnership,
  writeStaged,
} from "./staging.ts";
import { countsOf, type NodeState, writeNodeState } from "./state.ts";

/** Commands by their absolute paths. */
export interface Commands {
  postmap: string;
  /** Undefined where there is none. */
  postconf: string | undefined;
  /** With its leading arguments; undefined where there is none. */
  doveadm: readonly string[] | undefined;
}

export interface Update {
  /** The states whose files may be in service; the last wins. */
  before: readonly MailState[];
  target: Kept;
  /** Where DIR holds `target` already, if it does. */
  stored: "snapshot" | "pending" | undefined;
  recorded: NodeState | undefined;
  hours: Hours;
  /** What DIR was found like. */
  found: Pick<Situation, "damaged" | "unusable" | "usersModified">;
}

export interface Workplace {
  host: Host;
  config: Config;
  commands: Commands;
  lock: Lock;
}

const rendering: Record<MapName, (state: MailState) => Iterable<string>> = {
  domains: renderDomains,
  mailboxes: renderMailboxes,
  senders: renderSenders,
};

/** What stands ready beside the files in service, to take their places. */
interface Staged {
  users: boolean;
  finalUsers: boolean;
  maps: { name: MapName; fresh: boolean }[];
}

/**
 * Brings the files from what is in service to `target`, in an order in which, wherever it stops, no mail that
 * Postfix accepts is unknown to Dovecot:
 *
 * 1. everything is written beside its place; what fails until here, a full disk above all, changes nothing;
 * 2. pending.ndjson says where the way goes: whoever finds it goes on from there;
 * 3. `users` with old and new users together, and a wait until Dovecot looks at it;
 * 4. Postfix's maps;
 * 5. `users` with the new ones alone;
 * 6. the open sessions of those who are gone or have another password end;
 * 7. state.json records it.
 *
 * What would not change is left alone.
 *
 * @returns the plan that was carried out, and what state.json now says
 */
export async function applyUpdate(
  place: Workplace,
  update: Update,
): Promise<{ plan: Plan; state: NodeState }> {
  const { host, config, commands, lock } = place;
  const { files, clock } = host;
  const at = (name: string): string => join(config.out, name);
  const take = (name: string): Promise<void> => files.rename(at(stagedName(name)), at(name));
  const settle = (): Promise<void> => files.sync(config.out);

  const target = servedOf(update.target);
  const plan = planUpdate(update.before, target);
  const begun: string[] = [];
  try {
    const staged = await stage(place, update, target, plan, begun);
    if (update.stored === undefined) {
      await take(names.pending);
      await settle();
    }
    if (staged.users) {
      await take("users");
      await settle();
      // Mail that Postfix takes for a new mailbox within this second would be unknown to Dovecot.
      if (plan.users.added.length > 0 && staged.maps.length > 0) await untilDovecotLooks(host, clock.now());
    }
    for (const { name, fresh } of staged.maps) {
      await take(name);
      if (fresh) await files.rename(at(`${stagedName(name)}.lmdb`), at(`${name}.lmdb`));
      else await postmap(host, lock, commands.postmap, config.out, name);
    }
    if (staged.maps.length > 0) await settle();
    if (staged.finalUsers) {
      await files.rename(at(FINAL_USERS), at("users"));
      await settle();
    }
  } catch (error) {
    await removeQuietly(files, begun);
    throw error;
  }
  await endSessions(host, commands.doveadm, plan.kicks, clock.now());

  const { role, history, revision, digest } = target;
  const { server, withheld } = update.target;
  const now = new Date(clock.now()).toISOString();
  const stateFile = update.stored === "snapshot" ? names.snapshot : names.pending;
  const snapshot = await files.stat(at(stateFile));
  const state: NodeState = {
    format: 1,
    applied: { role, history, revision, digest, counts: countsOf(target), at: now },
    server: { digest: server.digest, cursor: server.cursor },
    withheld: noteOf(withheld, update.recorded?.withheld?.since ?? now),
    hours: update.hours,
    former: role === "mx" ? update.recorded?.former : undefined,
    rendering: { version: RENDERING, mail_root: config.mailRoot },
    files: await recordFiles(files, config.out, role),
    reported_at: null,
  };
  if (snapshot !== undefined) state.files[names.snapshot] = snapshot;
  await noteChanges(files, config.out, plan);
  await writeNodeState(files, config.out, state);
  if (stateFile === names.pending) {
    await files.rename(at(names.pending), at(names.snapshot));
    await settle();
  }
  return { plan, state };
}

/** @param since when the first of them was withheld */
function noteOf(withheld: Kept["withheld"], since: string): NodeState["withheld"] {
  if (withheld.size === 0) return null;
  let first = Number.POSITIVE_INFINITY;
  let last = 0;
  for (const { revision } of withheld.values()) {
    first = Math.min(first, revision);
    last = Math.max(last, revision);
  }
  return { users: withheld.size, first, last, since };
}

/** Writes everything beside its place. @param begun gets the path of each file before it is there */
async function stage(
  place: Workplace,
  update: Update,
  target: MailState,
  plan: Plan,
  begun: string[],
): Promise<Staged> {
  const { host, config, commands, lock } = place;
  const { before, found } = update;
  const products = productsOf[target.role];
  const { files, identity } = host;
  const write = async (name: string, pieces: Iterable<string>, ownership: Ownership, modified?: number) => {
    begun.push(join(config.out, name));
    await writeStaged(files, join(config.out, name), pieces, ownership, modified);
  };

  const { users, domains } = plan;
  const usersMove = users.added.length + users.removed.length > 0;
  const changed: Record<MapName, boolean> = {
    mailboxes: usersMove,
    senders: usersMove,
    domains: domains.added.length + domains.removed.length > 0,
  };
  const staged: Staged = {
    users: products.users && (found.damaged.has("users") || users.added.length + users.changed.length > 0),
    finalUsers: products.users && users.removed.length > 0,
    maps: products.maps
      .filter((name) => changed[name] || found.damaged.has(name))
      .map((name) => ({ name, fresh: found.unusable.has(name) })),
  };

  // Dovecot compares whole seconds, and all bcrypt hashes are as long: two versions of one second look alike.
  let modified = found.usersModified;
  const nextSecond = (): number => {
    modified = Math.max(Math.floor(host.clock.now() / 1000), modified + 1);
    return modified;
  };
  const ownership = await usersOwnership(identity);
  if (staged.users) {
    const union = renderUsers(unionOfUsers([...before, target]), config.mailRoot);
    await write(stagedName("users"), union, ownership, nextSecond());
  }
  if (staged.finalUsers) {
    await write(FINAL_USERS, renderUsers(unionOfUsers([target]), config.mailRoot), ownership, nextSecond());
  }
  for (const { name, fresh } of staged.maps) {
    await write(stagedName(name), rendering[name](target), mapsOwnership(identity));
    if (fresh) await buildFresh(stagedName(name));
  }
  if (update.stored === undefined) await write(stagedName(names.pending), renderKept(update.target), PRIVATE);
  return staged;

  /** A .lmdb that is built in its place is empty at first, and an empty one answers 550 to all mail. */
  async function buildFresh(source: string): Promise<void> {
    const built = join(config.out, `${source}.lmdb`);
    begun.push(built);
    await files.remove(built);
    await postmap(host, lock, commands.postmap, config.out, source);
    const { mode, owner } = mapsOwnership(identity);
    if (owner !== undefined) await files.setOwner(built, owner.uid, owner.gid);
    await files.setMode(built, mode);
    await files.sync(built);
  }
}
