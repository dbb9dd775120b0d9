import type { NodeRole } from "../sync/records.ts";

/** Postfix's maps, in the order in which they are replaced: a domain is known only once its mailboxes are. */
export const maps = ["mailboxes", "senders", "domains"] as const;

export type MapName = (typeof maps)[number];

/** What daemons read. A map is its text and its .lmdb together. */
export type Product = "users" | MapName;

/**
 * What a node of that role writes. An mx has neither Dovecot's users nor their senders; those of a node that
 * becomes one stay for a while where they are, as they are: a role set by mistake takes no mailbox out of service.
 */
export const productsOf: Readonly<Record<NodeRole, { users: boolean; maps: readonly MapName[] }>> = {
  mail: { users: true, maps },
  mx: { users: false, maps: ["mailboxes", "domains"] },
};

/**
 * The files of DIR. `snapshot` is what was applied last (see kept-file.ts); `pending`, while it exists, is that to
 * which an update is under way: whoever finds it goes on to it.
 */
export const names = {
  state: "state.json",
  snapshot: "snapshot.ndjson",
  pending: "pending.ndjson",
  /** Says that an operator accepts the removals that are withheld. */
  accepted: "accepted.json",
  lock: ".lock",
  /** Which changes are to be looked up before the server is told that they are in service. */
  unproved: "unproved.json",
  /** What came of the last poll, for `status`. */
  lastPoll: "last-poll.json",
  /** There for a moment: `status` looks whether the folder can be written. */
  probe: ".probe.new",
  /** postmap wants a configuration folder. */
  postfix: "postfix",
} as const;

/** Under this name a file is made before it takes its place. Left-overs of a killed run are removed. */
export function stagedName(name: string): string {
  return `.${name}.new`;
}

export const FINAL_USERS = stagedName("users.final");

/** All that may be left over. */
export const stagedNames: ReadonlySet<string> = new Set([
  ...[
    names.state,
    names.accepted,
    names.snapshot,
    names.pending,
    names.unproved,
    names.lastPoll,
    "users",
    ...maps,
  ].map(stagedName),
  ...maps.map((map) => `${stagedName(map)}.lmdb`),
  FINAL_USERS,
  names.probe,
]);
