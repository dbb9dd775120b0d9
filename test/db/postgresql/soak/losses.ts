import fc from "fast-check";
import { expect } from "vitest";
import { daemons } from "../../../node/folder.ts";
import { Caller, endless } from "./caller.ts";
import type { NodeProgram } from "./programs.ts";
import type { Storm } from "./storm.ts";
import { MAILBOX, markOf, type World } from "./world.ts";

/** Calls that are answered between two losses, at most. */
const CALLS = 100;

const names = ["server", "primary", "connections", "node"] as const;

/** Times from a loss, or from its end, in ms. */
interface Recovery {
  /** The thing that was lost. */
  after: string;
  /** Until one server has acknowledged a change. */
  first: number;
  /** Until each server has that can be asked. */
  each: number;
  /** Until all nodes have these changes. */
  nodes: number;
}

/** Loses one thing after the other, and waits until everything is back. */
export class Losses {
  readonly recoveries: Recovery[] = [];
  promotions = 0;
  readonly #world: World;
  readonly #storm: Storm;
  readonly #orders: Generator<ReadonlyArray<(typeof names)[number]>, never>;
  readonly #moments: Generator<number, never>;
  readonly #choices: Generator<boolean, never>;
  /** A caller of each server. */
  readonly #markers: readonly Caller[];
  #mark = MAILBOX.quota;

  constructor(world: World, storm: Storm, seed: number) {
    this.#world = world;
    this.#storm = storm;
    this.#orders = endless(fc.shuffledSubarray([...names], { minLength: names.length }), seed);
    this.#moments = endless(fc.nat(CALLS), seed);
    this.#choices = endless(fc.boolean(), seed);
    this.#markers = world.servers.map(({ url }, place) => {
      const users = new Map([[`mark${place}`, { ...MAILBOX }]]);
      const doors = { token: world.token, urls: [url], operator: world.run };
      return new Caller(doors, seed, new Map([["marks.nl", users]]));
    });
  }

  /** Loses everything once, in any order. */
  async round(): Promise<void> {
    const { value: order } = this.#orders.next();
    for (const name of order) {
      await this.#moment();
      await this.#lose[name]();
    }
  }

  readonly #lose = {
    server: async () => {
      const { victim, servers, hasProxy } = this.#world;
      await victim.end("SIGKILL");
      if (hasProxy) await this.#recover("a server, before it is back", (place) => servers[place] !== victim);
      await this.#moment();
      await victim.start();
      await this.#recover("a server that is back");
    },
    primary: () => this.#losePrimary(),
    connections: async () => {
      const which = this.#choice() ? "AND query LIKE 'LISTEN%'" : "";
      await this.#world.pair.query(
        `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'm25-mail' ${which}`,
      );
      await this.#recover(which === "" ? "all connections" : "the listening connections");
    },
    node: async () => {
      const node = this.#world.nodes.at(-1); // another lives through everything
      await node?.end(this.#choice() ? "SIGKILL" : "SIGTERM");
      await this.#moment();
      await node?.start();
      await this.#recover("a node");
    },
  };

  async #losePrimary(): Promise<void> {
    const { pair, victim, store } = this.#world;
    const withServer = this.#choice();
    if (withServer) await victim.end("SIGKILL");
    await pair.failOver();
    this.promotions += 1;
    if (withServer) await victim.start();
    await this.#recover(withServer ? "the primary and a server" : "the primary");
    if (this.#choice()) {
      await expect.poll(() => store.figures()).toMatchObject({ timeline: 1 + this.promotions });
      await pair.startFormer(() => this.#attempts());
      await this.#recover("the primary, while a former one was back");
    }
    await pair.rejoin();
  }

  #choice(): boolean {
    return this.#choices.next().value;
  }

  /** Waits until the callers have had up to CALLS more answers. */
  async #moment(): Promise<void> {
    const answers = () => this.#storm.callers.reduce((sum, caller) => sum + caller.answers, 0);
    const last = answers() + this.#moments.next().value;
    await expect.poll(answers).toBeGreaterThanOrEqual(last);
  }

  /** Waits until each caller has made some more attempts, with any outcome. */
  async #attempts(): Promise<void> {
    const before = this.#storm.callers.map(({ attempts }) => attempts);
    await expect
      .poll(() => this.#storm.callers.every(({ attempts }, place) => attempts > Number(before[place]) + 5))
      .toBe(true);
  }

  /** @param isThere whether the server at this place can be asked */
  async #recover(after: string, isThere = (_place: number) => true): Promise<void> {
    const began = performance.now();
    const passed = () => Math.round(performance.now() - began);
    this.#mark += 1;
    const places = [...this.#markers.keys()].filter(isThere);
    const times = await Promise.all(
      places.map(async (place) => {
        const input = { email: markOf(place), quota_mb: this.#mark };
        await this.#markers[place]?.make({ endpoint: "set-user", input });
        return passed();
      }),
    );
    const shown = ({ out }: NodeProgram) =>
      places.map((place) =>
        String(daemons.home(out, markOf(place)))
          .split(" ")
          .at(-1),
      );
    await expect
      .poll(() => this.#world.nodes.flatMap(shown).every((quota) => quota === String(this.#mark)))
      .toBe(true);
    this.recoveries.push({ after, first: Math.min(...times), each: Math.max(...times), nodes: passed() });
  }
}
