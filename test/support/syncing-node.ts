import { expect } from "vitest";
import type { Header } from "../../src/sync/answer.ts";
import { AnswerReader, type MailState } from "./answer-reader.ts";

/** The answer to one poll. */
export interface Polled {
  status: number;
  kind?: Header["kind"] | undefined;
  headers: Headers;
  body: string;
}

/** A node as the protocol page describes it, without files or daemons. */
export class SyncingNode {
  readonly #url: string;
  key: string;
  state: MailState | undefined;

  constructor(url: string, key: string) {
    this.#url = url;
    this.key = key;
  }

  /** Polls with the cursor of its state and applies the answer. */
  async poll(headers: Record<string, string> = {}): Promise<Polled> {
    const since = this.state === undefined ? "" : `?since=${this.state.cursor}`;
    const answer = await fetch(`${this.#url}/sync/v1/maps${since}`, {
      headers: { authorization: `Bearer ${this.key}`, ...headers },
    });
    const body = await answer.text();
    const polled = { status: answer.status, headers: answer.headers, body };
    if (answer.status !== 200) return polled;
    const lines = body.slice(0, -1).split("\n");
    const reader = new AnswerReader(this.state);
    for (const line of lines) reader.push(line);
    this.state = reader.finish();
    return { ...polled, kind: JSON.parse(lines[0] ?? "").kind };
  }

  /** Returns the whole state that the server serves this node. */
  async everything(): Promise<MailState> {
    const other = new SyncingNode(this.#url, this.key);
    expect((await other.poll()).kind).toBe("snapshot");
    if (other.state === undefined) throw new Error("no state");
    return other.state;
  }
}
