import { existsSync, writeFileSync } from "node:fs";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { onTestFinished } from "vitest";
import { type Clock, type Machine, thisMachine } from "../../src/machine/machine.ts";
import type { Config } from "../../src/node/config.ts";
import { exitCodeOf, explain } from "../../src/node/faults.ts";
import { type PollOptions, type PollResult, poll } from "../../src/node/poll.ts";
import { closeSession, openSession, type RunOptions, type Session } from "../../src/node/session.ts";
import { stateTag } from "../../src/sync/answer.ts";
import type { UserRecord } from "../../src/sync/records.ts";
import type { Report } from "../../src/sync/report.ts";
import type { MailState } from "../support/answer-reader.ts";
import { deltaOf, linesOf } from "./answers.ts";
import { ask, temporaryFolder } from "./folder.ts";

export const KEY = "m25test-0123456789abcdefghij";
/** A whole state, or lines, as sent. */
export function bodyOf(content: MailState | readonly string[]): string {
  return `${("domains" in content ? linesOf(content) : content).join("\n")}\n`;
}

export type Answer = (request: IncomingMessage, response: ServerResponse) => void;

/** A server with set answers, which records the questions and reports. */
export interface FakeServer {
  url: URL;
  /** A state, served as a proper server would, or an answer made by hand. */
  serves: MailState | Answer;
  requests: IncomingMessage[];
  reports: Report[];
  /** The answer of the report route. */
  reportStatus: number;
  connections: number;
  /** Earlier states, to which it can send deltas. */
  remembers: MailState[];
  close(): Promise<void>;
}

export function maps(
  state: MailState,
  response: ServerResponse,
  body: string | Buffer = bodyOf(state),
): void {
  response.writeHead(200, { "Content-Type": "application/x-ndjson", ETag: stateTag(state) });
  response.end(body);
}

/** Answers like a server that remembers earlier states: 304, a delta or a snapshot. */
export function answerProperly(
  { serves, remembers }: { serves: FakeServer["serves"]; remembers: MailState[] },
  request: IncomingMessage,
  response: ServerResponse,
): void {
  if (typeof serves === "function") return;
  if (request.headers["if-none-match"] === stateTag(serves)) return void response.writeHead(304).end();
  const since = new URL(request.url ?? "", "http://x").searchParams.get("since");
  const from = remembers.find(
    ({ cursor, role, history, revision }) =>
      cursor === since && role === serves.role && history === serves.history && revision < serves.revision,
  );
  if (!remembers.includes(serves)) remembers.push(serves);
  maps(serves, response, from === undefined ? undefined : bodyOf(deltaOf(from, serves)));
}

export async function startServer(
  serves: FakeServer["serves"],
  create: (listener: Answer) => Server = createServer,
): Promise<FakeServer> {
  const server = create((request, response) => {
    if (request.url === "/sync/v1/report" && request.method === "POST") {
      let body = "";
      request.on("data", (piece) => {
        body += piece;
      });
      request.on("end", () => {
        if (fake.reportStatus < 300) fake.reports.push(JSON.parse(body));
        response.writeHead(fake.reportStatus).end();
      });
      return;
    }
    fake.requests.push(request);
    if (typeof fake.serves === "function") return fake.serves(request, response);
    answerProperly(fake, request, response);
  });
  server.on("connection", () => {
    fake.connections += 1;
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const fake: FakeServer = {
    url: new URL(`http://127.0.0.1:${(server.address() as AddressInfo).port}/`),
    serves,
    requests: [],
    reports: [],
    reportStatus: 204,
    connections: 0,
    remembers: [],
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
  onTestFinished(() => fake.close());
  return fake;
}

/** A clock whose waits end at once. */
export const quickClock: Clock = {
  now: () => Date.now(),
  monotonic: () => performance.now(),
  sleep: async () => undefined,
};

export interface Node {
  config: Config;
  machine: Machine;
  log: string[];
  printed: string[];
  /** Commands that were run, with their arguments, without their folders. */
  commands: string[];
  /** @param how `client` and `sending` belong to the caller, who keeps them from poll to poll */
  poll(
    how?: Partial<PollOptions> & Partial<RunOptions> & Partial<Pick<Session, "client" | "sending">>,
  ): Promise<PollResult>;
}

/** A node with its own folder and key. It has no commands of daemons unless the test adds them. */
export function nodeOf(server: { url: URL }, parts: Partial<Machine> = {}): Node {
  const folder = temporaryFolder();
  const keyFile = join(folder, "key");
  writeFileSync(keyFile, `${KEY}\n`, { mode: 0o600 });
  const config: Config = {
    server: server.url,
    keyFile,
    out: join(folder, "out"),
    mailRoot: "/var/vmail",
    logins: join(folder, "logins"),
  };
  const node: Node = {
    config,
    log: [],
    printed: [],
    commands: [],
    machine: {
      ...thisMachine,
      clock: quickClock,
      find: async (command) => (command === "sqlite3" ? await thisMachine.find(command) : undefined),
      run: async (command, args, timeout) => {
        node.commands.push([command.replace(/.*\//, ""), ...args].join(" ").replaceAll(`${config.out}/`, ""));
        return await thisMachine.run(command, args, timeout);
      },
      log: (line) => void node.log.push(line),
      journal: true,
      print: (text) => void node.printed.push(text),
      ...parts,
    },
    poll: async (how = {}) => {
      const { greet = false, quiet = false, wait = 0, client, sending, ...running } = how;
      const session = await openSession(node.machine, config, { version: "dev", ...running }).catch(
        (error) => {
          node.log.push(explain(error));
          return exitCodeOf(error);
        },
      );
      if (typeof session === "number") return { exitCode: session, reported: false };
      const own = session.client;
      if (client !== undefined) session.client = client;
      session.sending = sending;
      try {
        return await poll(session, { greet, quiet, wait }, running.signal);
      } finally {
        session.client = own;
        await closeSession(session);
      }
    },
  };
  return node;
}

/** The rows of a statement on a file of the node, each as JSON reads it. */
function rowsOf<T>(out: string, file: string, statement: string): T[] {
  const lines = ask(join(out, file), statement);
  if (lines === "fails") throw new Error(`${file} fails`);
  return lines.map((line) => JSON.parse(line) as T);
}

/** Dovecot's look-ups: everybody who can log in. */
export function usersIn(out: string): UserRecord[] {
  if (!existsSync(join(out, "logins.db"))) return [];
  return rowsOf<UserRecord>(
    out,
    "logins.db",
    `SELECT json_patch(json_object('user', user,
        'password', (SELECT password FROM dovecot_login l WHERE l.user = u.user AND selector = ''),
        'quota_mb', quota_mb, 'mailbox', substr(home, -16)),
      json_object('app_passwords', json((SELECT iif(count(*) = 0, NULL, json_group_object(selector, password))
        FROM (SELECT selector, password FROM dovecot_login l
          WHERE l.user = u.user AND l.domain = u.domain AND selector <> '' ORDER BY selector))))) FROM dovecot_user u
      WHERE u.domain || '' = substr(user, instr(user, '@') + 1) ORDER BY user`,
  ).filter(({ password }) => password !== null);
}

/** Compares all look-ups of the daemons with a state. */
export function serves(out: string): {
  users: UserRecord[];
  mailboxes: string[];
  senders: string[];
  domains: string[];
} {
  const addresses = (where: string): string[] =>
    rowsOf<string>(
      out,
      "addresses.db",
      `SELECT json_quote(local || '@' || domain) FROM address ${where}`,
    ).sort();
  return {
    users: usersIn(out),
    mailboxes: addresses(""),
    senders: addresses("WHERE login IS NOT NULL"),
    domains: rowsOf<string>(out, "addresses.db", "SELECT json_quote(key) FROM domain").sort(),
  };
}

export function expectedOf(state: MailState): ReturnType<typeof serves> {
  const users = ([...state.users.values()] as UserRecord[]).sort((a, b) => (a.user < b.user ? -1 : 1));
  const addresses = users.map((record) => record.user).sort();
  return { users, mailboxes: addresses, senders: addresses, domains: [...state.domains.keys()].sort() };
}

/** The stored content except the note of the last poll, to compare before and after. */
export function picture(out: string): Record<string, unknown> {
  const seen: Record<string, unknown> = {};
  const state = ["meta", "domain", "mailbox", "gone", "peak", "note WHERE name NOT IN ('poll', 'reported')"];
  const files = { "logins.db": state, "node.db": state, "addresses.db": ["meta", "domain", "address"] };
  for (const [file, tables] of Object.entries(files)) {
    if (existsSync(join(out, file)))
      seen[file] = tables.map((table) => ask(join(out, file), `SELECT * FROM ${table}`));
  }
  return seen;
}

/** The state's own data. */
export function metaOf(out: string): Record<string, unknown> {
  const file = existsSync(join(out, "node.db")) ? "node.db" : "logins.db";
  const [meta = {}] = rowsOf<Record<string, unknown>>(
    out,
    file,
    "SELECT json_object('revision', revision, 'history', history, 'digest', digest, 'ready', ready) FROM meta",
  );
  return meta;
}

/** The note of the last poll. */
export function lastPollOf(out: string): unknown {
  const file = ["node.db", "logins.db", "addresses.db"].find((name) => existsSync(join(out, name))) ?? "";
  return rowsOf<unknown>(out, file, "SELECT value FROM note WHERE name = 'poll'")[0];
}
