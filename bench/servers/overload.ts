/** One principal that overloads the server in the way that an IPC message names, until told to stop: `overload.ts FILE`. */
import { readFileSync } from "node:fs";
import { connect } from "node:net";
import { constants, setPriority } from "node:os";
import { setTimeout as pause } from "node:timers/promises";

/** The JSON content of FILE. */
export interface Overload {
  url: string;
  token: string;
  key: string;
  /** The key's cursor from before thousands of changes. */
  cursor: string;
  /** Mailboxes whose passwords may be changed. */
  emails: string[];
}

/** Connections that send batches, or ask for maps. */
const AT_ONCE = 8;
/** Messages of a batch. */
const BATCH = Number(process.env.BATCH ?? 4);
/** Polls that are sent ahead on one connection. */
const PIPELINE = 90_000;
const PASSWORDS_AT_ONCE = 100;
/** ms to wait after a refusal. */
const PAUSE = 100;

// A real one has its own machine; here it takes only what the server and the other callers leave.
setPriority(constants.priority.PRIORITY_LOW);

const overload = JSON.parse(readFileSync(process.argv[2] ?? "", "utf8")) as Overload;
const authorization = `Bearer ${overload.token}`;

let isStopped = false;
/** Answers by their status. */
let answers: Record<string, number> = {};

function count(status: string | number): void {
  answers[status] = (answers[status] ?? 0) + 1;
}

async function post(path: string, body: unknown, fields: Record<string, string> = {}): Promise<void> {
  const headers = { authorization, "content-type": "application/json", ...fields };
  const answer = await fetch(`${overload.url}${path}`, {
    method: "POST",
    headers,
    body: JSON.stringify(body),
  });
  await answer.arrayBuffer();
  count(answer.status);
  if (answer.status !== 200) await pause(PAUSE);
}

async function lists(): Promise<void> {
  const batch = Array.from({ length: BATCH }, (_, id) => ({
    jsonrpc: "2.0",
    id,
    method: "tools/call",
    params: { name: "m25_mail_list_users", arguments: { limit: 1000 } },
  }));
  const fields = { accept: "application/json, text/event-stream", "mcp-protocol-version": "2025-03-26" };
  while (!isStopped) await post("/mcp", batch, fields);
}

async function passwords(first: number): Promise<void> {
  for (let index = first; !isStopped; index += PASSWORDS_AT_ONCE) {
    const email = overload.emails[index % overload.emails.length];
    await post("/api/update-password", { email, password: "a password of somebody" });
  }
}

/** Asks again and again for the same maps: all, or the changes since a cursor. */
async function maps(query: string): Promise<void> {
  while (!isStopped) {
    const headers = { authorization: `Bearer ${overload.key}`, "accept-encoding": "identity" };
    const answer = await fetch(`${overload.url}/sync/v1/maps${query}`, { headers });
    await answer.arrayBuffer();
    count(answer.status);
    if (answer.status !== 200) await pause(PAUSE);
  }
}

/** Sends the next polls ahead once all are answered, on a new connection if the last one has ended. */
async function polls(): Promise<void> {
  const { hostname, port } = new URL(overload.url);
  const first = await fetch(`${overload.url}/sync/v1/maps`, {
    headers: { authorization: `Bearer ${overload.key}` },
  });
  await first.arrayBuffer();
  const poll = `GET /sync/v1/maps HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer ${overload.key}\r\nIf-None-Match: ${first.headers.get("etag")}\r\n\r\n`;
  while (!isStopped) {
    await new Promise<void>((resolve) => {
      const socket = connect(Number(port), hostname);
      let text = "";
      let left = 0;
      const send = () => {
        left += PIPELINE;
        socket.write(poll.repeat(PIPELINE));
      };
      socket
        .setEncoding("latin1")
        .on("connect", send)
        .on("error", () => {})
        .on("close", resolve);
      socket.on("data", (piece) => {
        text += piece;
        const statuses = [...text.matchAll(/HTTP\/1\.1 (\d{3}) /g)];
        for (const [, status = ""] of statuses) count(status);
        text = text.slice(-12).replace(/HTTP\/1\.1 \d{3} /, "");
        left -= statuses.length;
        if (isStopped) socket.destroy();
        else if (left === 0) send();
      });
    });
    count("hung up");
  }
}

function begin(way: string): Promise<unknown> {
  isStopped = false;
  answers = {};
  if (way === "lists") return Promise.all(Array.from({ length: AT_ONCE }, lists));
  if (way === "polls") return polls();
  if (way === "snapshots") return Promise.all(Array.from({ length: AT_ONCE }, () => maps("")));
  if (way === "deltas")
    return Promise.all(Array.from({ length: AT_ONCE }, () => maps(`?since=${overload.cursor}`)));
  return Promise.all(Array.from({ length: PASSWORDS_AT_ONCE }, (_, first) => passwords(first)));
}

let running: Promise<unknown> = Promise.resolve();
process.on("message", async (message) => {
  if (message !== "stop") {
    running = begin(String(message));
    return;
  }
  isStopped = true;
  await running;
  process.send?.(answers);
});
process.stderr.write("ready: yes\n");
