/** Thousands of nodes that wait for changes, in a process that takes commands by IPC: `waiting-nodes.ts URL KEYS CURSOR`. */
import { readFileSync } from "node:fs";
import { connect, type Socket } from "node:net";

/** The result of one wait of all nodes. Times are Date.now(). */
export interface Woken {
  answers: Record<string, number>;
  first: number;
  last: number;
}

/** Connections to open at a time: the queue of a listening socket is short. */
const AT_ONCE = 100;

const [url = "", keyFile = "", first = ""] = process.argv.slice(2);
const { hostname, port } = new URL(url);

class WaitingNode {
  readonly #key: string;
  #socket: Socket | undefined;
  #cursor = first;
  #text = "";
  /** The status of an answer. */
  answered: (status: string) => void = () => {};

  constructor(key: string) {
    this.#key = key;
  }

  connect(): Promise<void> {
    return new Promise((resolve, reject) => {
      const socket = connect(Number(port), hostname, resolve);
      socket.setEncoding("latin1").on("error", reject);
      socket.on("data", (piece) => this.#take(String(piece)));
      socket.on("close", () => this.answered("hung up"));
      this.#socket = socket;
    });
  }

  wait(): void {
    this.#socket?.write(
      `GET /sync/v1/maps?since=${this.#cursor} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer ${this.#key}\r\nPrefer: wait=55\r\n\r\n`,
    );
  }

  #take(piece: string): void {
    this.#text += piece;
    const end = this.#text.indexOf("\r\n\r\n");
    if (end < 0) return;
    const length = Number(/\r\ncontent-length: (\d+)/i.exec(this.#text.slice(0, end))?.[1] ?? 0);
    if (this.#text.length < end + 4 + length) return;
    const answer = this.#text;
    this.#text = "";
    this.#cursor = /"cursor":"([^"]+)"/.exec(answer)?.[1] ?? this.#cursor;
    const kind = /"kind":"(\w+)"/.exec(answer)?.[1] ?? "";
    this.answered(`${answer.slice(9, 12)} ${kind}`.trim());
  }
}

const nodes = readFileSync(keyFile, "utf8")
  .split("\n")
  .map((key) => new WaitingNode(key));
let woken: Promise<Woken> | undefined;
let followed = 0;

function wait(waiting: readonly WaitingNode[]): Promise<Woken> {
  return new Promise((resolve) => {
    const seen: Woken = { answers: {}, first: 0, last: 0 };
    let left = waiting.length;
    for (const node of waiting) {
      node.answered = (status) => {
        node.answered = () => {};
        seen.first ||= Date.now();
        seen.last = Date.now();
        seen.answers[status] = (seen.answers[status] ?? 0) + 1;
        left -= 1;
        if (left === 0) resolve(seen);
      };
      node.wait();
    }
  });
}

async function connectThese(these: readonly WaitingNode[]): Promise<void> {
  for (let index = 0; index < these.length; index += AT_ONCE) {
    await Promise.all(these.slice(index, index + AT_ONCE).map((node) => node.connect()));
  }
}

const middle = Math.floor(nodes.length / 2);
const orders: Record<string, () => Promise<unknown>> = {
  "connect half": () => connectThese(nodes.slice(0, middle)),
  "connect all": () => connectThese(nodes.slice(middle)),
  async "wait half"() {
    woken = wait(nodes.slice(0, middle));
  },
  async "wait rest"() {
    woken = wait(nodes.slice(middle));
  },
  async "wait all"() {
    woken = wait(nodes);
  },
  /** Each node waits again after every answer, as late as a real one that looks up what changed. */
  async follow() {
    await connectThese(nodes);
    for (const node of nodes) {
      node.answered = () => {
        followed += 1;
        setTimeout(() => node.wait(), 100 + 100 * Math.random());
      };
      node.wait();
    }
  },
  /** The number of answers to nodes that follow. */
  async followed() {
    return followed;
  },
  async woken() {
    return woken;
  },
};

process.on("message", async (message: string) => process.send?.((await orders[message]?.()) ?? {}));
process.on("disconnect", () => process.exit());
