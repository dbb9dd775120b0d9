/** The polls that interruption.sweep.ts interrupts at each of their steps. */
import type { MailState } from "../../src/sync/answer.ts";
import { hash, stateOf, user } from "./support.ts";

const one = stateOf(
  1,
  ["example.nl", "old.nl"],
  [user("gone@example.nl"), user("jan@example.nl"), user("last@old.nl"), user("stays@example.nl")],
);
export const two = stateOf(
  2,
  ["example.nl", "new.nl"],
  [
    user("jan@example.nl", { password: hash("b") }),
    user("els@new.nl"),
    user("stays@example.nl", { quota_mb: 7 }),
  ],
);

const team = Array.from({ length: 9 }, (_, index) => `u${index}@example.nl`);
const full = stateOf(1, ["example.nl", "old.nl"], [...team.map((name) => user(name)), user("last@old.nl")]);
/** Eight of ten are gone, and a domain; one has another password, and one is new. */
const emptied = stateOf(
  2,
  ["example.nl", "new.nl"],
  [user("u0@example.nl", { password: hash("b") }), user("u1@example.nl"), user("x@new.nl")],
);
const later = stateOf(
  3,
  ["example.nl", "new.nl"],
  [user("u0@example.nl", { password: hash("c") }), user("u1@example.nl"), user("y@new.nl"), user("x@new.nl")],
);
/** What is served of `server` where the removals since `full` are withheld. */
const withWithheld = (server: MailState): MailState =>
  stateOf(
    server.revision,
    [...new Set([...full.domains.keys(), ...server.domains.keys()])],
    [...new Map([...full.users, ...server.users]).values()],
    { role: server.role },
  );
const asMx = (state: MailState, revision: number): MailState =>
  stateOf(
    revision,
    [...state.domains.keys()],
    [...state.users.keys()].map((user) => ({ user })),
    { role: "mx" },
  );

/** One poll that is interrupted, and what is to come of it. */
export interface Scenario {
  /** What the server has had, poll by poll; then, if so, an operator at the node accepts. */
  history: MailState[];
  accept?: boolean;
  /** Whether the server has forgotten what the node has, and sends everything. */
  forgets?: boolean;
  /** What the server has when the poll is interrupted. */
  to: MailState;
  /** What is in service before and after. */
  from: MailState | undefined;
  after: MailState;
  /** How the poll ends that is not interrupted. */
  exit: 0 | 65;
  /** Whose sessions end. */
  lockedOut: string[];
}

const update = {
  to: two,
  from: one,
  after: two,
  exit: 0 as const,
  lockedOut: ["gone@example.nl", "jan@example.nl", "last@old.nl"],
} satisfies Partial<Scenario>;

export const delta: Scenario = { ...update, history: [one] };

export const scenarios: Record<string, Scenario> = {
  "an update by a delta": delta,
  "an update by a snapshot": { ...update, history: [one], forgets: true },
  "a first state": { history: [], to: two, from: undefined, after: two, exit: 0, lockedOut: [] },
  "an update whose removals are withheld": {
    history: [full],
    to: emptied,
    from: full,
    after: withWithheld(emptied),
    exit: 65,
    lockedOut: ["u0@example.nl"],
  },
  "an update while removals are withheld": {
    history: [full, emptied],
    to: later,
    from: withWithheld(emptied),
    after: withWithheld(later),
    exit: 65,
    lockedOut: ["u0@example.nl"],
  },
  "everything anew while removals are withheld": {
    history: [full, emptied],
    forgets: true,
    to: later,
    from: withWithheld(emptied),
    after: withWithheld(later),
    exit: 65,
    lockedOut: ["u0@example.nl"],
  },
  "removals that were accepted": {
    history: [full, emptied],
    accept: true,
    to: emptied,
    from: withWithheld(emptied),
    after: emptied,
    exit: 0,
    lockedOut: ["last@old.nl", ...team.slice(2)],
  },
  "a change of role": {
    history: [full],
    to: asMx(full, 2),
    from: full,
    after: asMx(full, 2),
    exit: 0,
    lockedOut: [],
  },
  "a change of role that takes most users with it": {
    history: [full],
    to: asMx(emptied, 2),
    from: full,
    after: withWithheld(asMx(emptied, 2)),
    exit: 65,
    lockedOut: [],
  },
};

/** Every user of any of them. */
export const everybody = [one, two, full, emptied, later].flatMap(({ users }) => [...users.keys()]);
