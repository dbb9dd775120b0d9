import { join } from "node:path";
import { setInterval } from "node:timers/promises";
import { expect } from "vitest";
import { ask } from "../../../node/folder.ts";
import type { Call } from "../../../support/mail-model.ts";
import { Caller, callsOf } from "./caller.ts";
import { MAILBOX, type World } from "./world.ts";

const CALLERS = ["a", "b", "c", "d"];
/** Callers of changes without a password to hash: at each moment some of these are being committed. */
const FAST = ["e", "f", "g", "h"];
/** ms between two looks at what is shown. */
const LOOK_EVERY = 50;

/** The address of the mailbox that moves, and where its alias leads. */
export const MOVED = `SELECT local || ' ' || (SELECT leads FROM alias WHERE local = 'info' AND domain = 'moving.nl')
  FROM address WHERE domain = 'moving.nl'`;
export const WHOLE = ["here", "there"].map((name) => `${name} ["${name}@moving.nl"]`);

export interface Storm {
  callers: readonly Caller[];
  end(): void;
  /** Fails as soon as an answer is wrong, or something half done is shown. */
  ended: Promise<unknown>;
}

/** Changes of all kinds by callers at both servers, one of which gives a mailbox one address after the other. */
export function startStorm(world: World, seed: number): Storm {
  const { servers, token, run } = world;
  const doors = { token, urls: servers.map(({ url }) => url), operator: run };
  let isOver = false;
  const isEnded = () => isOver;
  const movers = new Map([["moving.nl", new Map([["here", { ...MAILBOX }]])]]);
  const storms = [
    ...CALLERS.map((name, place) => ({ calls: callsOf(name, seed + place), model: new Map() })),
    ...FAST.map((name) => ({ calls: additions(`${name}.nl`), model: new Map() })),
    { calls: moves(), model: movers },
  ].map(({ calls, model }, place) => ({ calls, caller: new Caller(doors, seed + place, model) }));
  return {
    callers: storms.map(({ caller }) => caller),
    end: () => {
      isOver = true;
    },
    ended: Promise.all([
      ...storms.map(({ calls, caller }) => caller.storm(calls, isEnded)),
      watch(world, isEnded),
    ]),
  };
}

function* additions(domain: string): Generator<Call, never> {
  for (;;) {
    yield { endpoint: "add-domain", input: { domain } };
    yield { endpoint: "remove-domain", input: { domain } };
  }
}

function* moves(): Generator<Call, never> {
  const [here, there] = ["here@moving.nl", "there@moving.nl"];
  for (;;) {
    yield { endpoint: "rename-user", input: { email: here, new_email: there } };
    yield { endpoint: "rename-user", input: { email: there, new_email: here } };
  }
}

/** Each state that a server or a node shows has the mailbox that moves once, and the alias that leads to it. */
async function watch({ servers, token, nodes }: World, isOver: () => boolean): Promise<void> {
  const headers = { authorization: `Bearer ${token}` };
  for await (const _ of setInterval(LOOK_EVERY)) {
    if (isOver()) return;
    for (const { out } of nodes) {
      const shown = ask(join(out, "addresses.db"), MOVED);
      if (shown !== "fails") expect(WHOLE).toContain(shown.join());
    }
    for (const { url } of servers) {
      const answer = await fetch(`${url}/api/list-users?domain=moving.nl`, { headers }).catch(
        () => undefined,
      );
      const text = (await answer?.text().catch(() => "")) ?? "";
      if (answer?.ok === true && text !== "") expect(JSON.parse(text).users).toHaveLength(1);
    }
  }
}
