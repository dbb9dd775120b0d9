import { setTimeout as pause } from "node:timers/promises";
import fc from "fast-check";
import type { Outcome } from "../../../../tools/call/call.ts";
import { type Call, expected, type Model, mailCall } from "../../../support/mail-model.ts";

/** Operations that callers ask of servers; those of the operator go to the database. */
const OF_SERVERS = ["add-domain", "remove-domain", "add-user", "remove-user", "update-password", "set-user"];
const OF_OPERATOR = ["restore-user", "rename-user", "set-user-limits"];
const calls = mailCall.filter(({ endpoint }) => [...OF_SERVERS, ...OF_OPERATOR].includes(endpoint));

/** ms until a call is tried again. */
const AGAIN = 20;

/** Endless values, the same for the same seed. */
export function* endless<T>(values: fc.Arbitrary<T>, seed: number): Generator<T, never> {
  const [stream] = fc.sample(fc.infiniteStream(values, { noHistory: true }), { seed, numRuns: 1 });
  if (stream !== undefined) yield* stream;
  throw new Error("there are no more values");
}

/** Calls of all kinds in two domains of the caller's own. */
export function callsOf(name: string, seed: number): Generator<Call, never> {
  const own = calls.map((call): Call => {
    const text = JSON.stringify(call.input).replaceAll(/\b[ab]\.nl\b/g, (domain) => `${name}-${domain}`);
    return { ...call, input: JSON.parse(text) };
  });
  return endless(own, seed);
}

/** Where a call can be made. */
export interface Doors {
  token: string;
  /** The servers' addresses. */
  urls: readonly string[];
  operator(endpoint: string, input: unknown): Promise<Outcome>;
}

/** A refusal's code, or whether the change was done, was not, or may have been. */
interface Answer {
  outcome: "done" | "not done" | "unknown" | (string & {});
  revision?: unknown;
}

/** Makes one change after the other. It repeats each, at any server, until it knows the outcome, and keeps what must be there. */
export class Caller {
  readonly model: Model;
  /** The revisions of changes that were done once: no outcome was unknown before. */
  readonly revisions: number[] = [];
  /** Calls whose outcome it knows. */
  answers = 0;
  /** The same calls, and each time that one was tried again. */
  attempts = 0;
  readonly #doors: Doors;
  readonly #places: Generator<number, never>;

  constructor(doors: Doors, seed: number, model: Model = new Map()) {
    this.#doors = doors;
    this.#places = endless(fc.nat(doors.urls.length - 1), seed);
    this.model = model;
  }

  async storm(changes: Generator<Call, never>, isOver: () => boolean): Promise<void> {
    while (!isOver()) await this.make(changes.next().value);
  }

  /** @throws Error for an answer that does not fit what was acknowledged */
  async make(call: Call): Promise<void> {
    const first = expected(this.model, call);
    const repeated = expected(structuredClone(this.model), call);
    let possible = [first];
    for (;;) {
      this.attempts += 1;
      const { outcome, revision } = await this.#ask(call);
      if (outcome === "unknown") possible = [first, repeated];
      else if (outcome !== "not done") {
        if (!possible.some((one) => (/changed$/.test(one) ? "done" : one) === outcome))
          throw new Error(`${JSON.stringify(call)} was answered ${outcome} in place of ${possible}`);
        if (possible.length === 1 && first === "changed") this.revisions.push(Number(revision));
        this.answers += 1;
        return;
      }
      await pause(AGAIN);
    }
  }

  async #ask({ endpoint, input }: Call): Promise<Answer> {
    if (OF_SERVERS.includes(endpoint)) return this.#post(endpoint, input);
    const result = await this.#doors.operator(endpoint, input);
    return result.ok
      ? { outcome: "done", revision: result.value.revision }
      : refusal(result.error.code, JSON.stringify(result.error.hint));
  }

  async #post(endpoint: string, input: unknown): Promise<Answer> {
    const { token, urls } = this.#doors;
    try {
      const answer = await fetch(`${urls[this.#places.next().value]}/api/${endpoint}`, {
        method: "POST",
        headers: { authorization: `Bearer ${token}`, "content-type": "application/json" },
        body: JSON.stringify(input),
      });
      const body = JSON.parse(await answer.text());
      return answer.ok ? { outcome: "done", revision: body.revision } : refusal(body.code, body.hint);
    } catch (error) {
      return { outcome: isRefused(error) ? "not done" : "unknown" };
    }
  }
}

/** A refusal says itself whether a change may have been done. */
function refusal(code: string, hint: string): Answer {
  if (code !== "unavailable") return { outcome: code };
  return { outcome: hint.includes("Nothing was changed") ? "not done" : "unknown" };
}

function isRefused(error: unknown): boolean {
  const { cause } = error instanceof Error ? error : {};
  return cause instanceof Error && "code" in cause && cause.code === "ECONNREFUSED";
}
