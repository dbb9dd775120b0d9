import { spawnSync } from "node:child_process";
import {
  chmodSync,
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { onTestFinished } from "vitest";
import type { Config } from "../../src/agent/config.ts";
import type { Clock, CommandResult, Host, RunOptions } from "../../src/agent/host.ts";
import { type Dependencies, type PollResult, pollOnce } from "../../src/agent/poll.ts";
import { thisMachine } from "../../src/agent/this-machine.ts";
import { encodeEnd, encodeHeader, type MailState, stateTag } from "../../src/sync/answer.ts";
import { StateDigest } from "../../src/sync/digest.ts";
import {
  type AddressRecord,
  canonicalLine,
  type MailRecord,
  removalLine,
  type UserRecord,
} from "../../src/sync/records.ts";
import type { Report } from "../../src/sync/report.ts";
import { memoryFolder } from "../support/left-behind.ts";

export const KEY = "m25test-0123456789abcdefghij";
export const HISTORY = "0123456789abcdef".repeat(2);

/** A hash that is told from others by one letter. */
export function hash(letter: string): string {
  return `{BLF-CRYPT}$2b$10$${letter.repeat(53)}`;
}

export function user(address: string, given: Partial<UserRecord> = {}): UserRecord {
  return { user: address, password: hash("a"), quota_mb: 1024, mailbox: "0".repeat(16), ...given };
}

export function stateOf(
  revision: number,
  domains: readonly string[],
  users: readonly (UserRecord | AddressRecord)[],
  given: Partial<Pick<MailState, "role" | "history">> = {},
): MailState {
  const digest = new StateDigest();
  for (const domain of domains) digest.add({ domain });
  for (const record of users) digest.add(record);
  return {
    role: "mail",
    history: HISTORY,
    revision,
    digest: digest.toString(),
    cursor: `cursor-${revision}`,
    ...given,
    domains: new Map(domains.map((domain) => [domain, { domain }])),
    users: new Map(users.map((record) => [record.user, record])),
  };
}

export function linesOf(state: MailState): string[] {
  const { role, history, revision, digest, cursor, domains, users } = state;
  const records: MailRecord[] = [...domains.values(), ...users.values()];
  const counts = { domains: domains.size, users: users.size };
  const header = encodeHeader({ kind: "snapshot", role, history, revision, digest, counts, cursor });
  return [header, ...records.map(canonicalLine), encodeEnd(records.length)];
}

export function bodyOf(state: MailState): string {
  return `${linesOf(state).join("\n")}\n`;
}

export type Answer = (request: IncomingMessage, response: ServerResponse) => void;

/** A server that says what it is told to say, and remembers what it was asked and told. */
export interface FakeServer {
  url: URL;
  /** What it serves as a proper server would; or an answer made by hand. */
  serves: MailState | Answer;
  requests: IncomingMessage[];
  reports: Report[];
  /** How the report route answers. */
  reportStatus: number;
  connections: number;
  /** Earlier states, to which it knows what has changed since. */
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

/** As a server does that knows some earlier states: 304, a delta or a snapshot. */
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
  maps(serves, response, from === undefined ? undefined : deltaOf(from, serves));
}

/** What changed between two states, as a server says it. */
export function deltaOf(from: MailState, to: MailState): string {
  const { role, history, revision, digest, cursor } = to;
  const counts = { domains: to.domains.size, users: to.users.size };
  const lines: string[] = [];
  const set = (old: ReadonlyMap<string, MailRecord>, now: ReadonlyMap<string, MailRecord>): void => {
    for (const [key, record] of now) {
      const before = old.get(key);
      if (before === undefined || canonicalLine(before) !== canonicalLine(record))
        lines.push(canonicalLine(record));
    }
  };
  set(from.domains, to.domains);
  for (const domain of from.domains.keys())
    if (!to.domains.has(domain)) lines.push(removalLine({ domain, removed: true }));
  set(from.users, to.users);
  for (const user of from.users.keys())
    if (!to.users.has(user)) lines.push(removalLine({ user, removed: true }));
  const header = encodeHeader({ kind: "delta", role, history, revision, digest, counts, cursor });
  return `${[header, ...lines, encodeEnd(lines.length)].join("\n")}\n`;
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

/** A folder of this test's own, on a file system in memory where there is one: fsync is then no wait. */
export function temporaryFolder(): string {
  const folder = mkdtempSync(join(memoryFolder() ?? tmpdir(), "m25-agent-"));
  // Other users of the machine, Dovecot's or a test's, may pass.
  chmodSync(folder, 0o755);
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

/** Dovecot is not waited for where there is none. */
export const quickClock: Clock = {
  now: () => Date.now(),
  monotonic: () => performance.now(),
  sleep: async () => undefined,
};

export interface Node {
  config: Config;
  host: Host;
  log: string[];
  printed: string[];
  /** Commands that were run, with their arguments, without their folders. */
  commands: string[];
  poll(dependencies?: Partial<Dependencies>): Promise<PollResult>;
}

/** A node with a folder and a key of its own. doveadm and postconf are not there unless the test puts them in place. */
export function nodeOf(server: { url: URL }, parts: Partial<Host> = {}): Node {
  const folder = temporaryFolder();
  const keyFile = join(folder, "key");
  writeFileSync(keyFile, `${KEY}\n`, { mode: 0o600 });
  const config: Config = { server: server.url, keyFile, out: join(folder, "out"), mailRoot: "/var/vmail" };
  const node: Node = {
    config,
    log: [],
    printed: [],
    commands: [],
    host: {
      ...thisMachine,
      clock: quickClock,
      find: async (command) => {
        if (command === "doveadm" || command === "postconf") return undefined;
        return (await thisMachine.find(command)) ?? `/pretended/${command}`;
      },
      run: async (command, args, options) => {
        if (!args.includes("-s") && !args.includes("-q"))
          node.commands.push(
            [command.replace(/.*\//, ""), ...args].join(" ").replaceAll(`${config.out}/`, ""),
          );
        if (command.startsWith("/pretended/")) return pretendPostmap(args, options);
        return await thisMachine.run(command, args, options);
      },
      log: (line) => void node.log.push(line),
      journal: true,
      print: (text) => void node.printed.push(text),
      ...parts,
    },
    poll: (dependencies) => pollOnce(config, { host: node.host, ...dependencies }),
  };
  return node;
}

const realPostmap = await thisMachine.find("postmap");

/** Where Postfix is not installed, a copy of the text stands for the map. */
export function pretendPostmap(args: readonly string[], options: RunOptions = {}): CommandResult {
  const source = (args.at(-1) ?? "").replace(/^lmdb:/, "");
  const target = `${source}.lmdb`;
  if (args.includes("-q")) {
    const key = `${args[args.indexOf("-q") + 1]} `;
    const found = readFileSync(target, "latin1")
      .split("\n")
      .find((line) => line.startsWith(key));
    return { code: found === undefined ? 1 : 0, stdout: found?.slice(key.length) ?? "", stderr: "" };
  }
  if (args.includes("-s"))
    options.output?.(Buffer.from(readFileSync(target, "latin1").replaceAll(" ", "\t"), "latin1"));
  // In place: the same file stays, as with the real one.
  else writeFileSync(target, readFileSync(source), { mode: statSync(source).mode });
  return { code: 0, stdout: "", stderr: "" };
}

/** For tests that poll often: nothing is started, no postmap and no lock's process, and there is no doveadm. */
export const startingNothing: Pick<Host, "find" | "run" | "lock"> = {
  find: async (command) => (command === "postmap" ? `/pretended/${command}` : undefined),
  run: async (_command, args, options) => pretendPostmap(args, options),
  lock: async () => ({ fd: -1, holds: async () => true, release: async () => undefined }),
};

/** The keys and values of a map as its daemons see it; undefined when there is no such map. */
export function mapContent(out: string, map: string): Map<string, string> | undefined {
  const path = join(out, map);
  if (!existsSync(`${path}.lmdb`)) return undefined;
  let text: string;
  if (realPostmap === undefined || !isLmdb(`${path}.lmdb`)) text = readFileSync(`${path}.lmdb`, "utf8");
  else {
    const folder = existsSync(join(out, "postfix", "main.cf")) ? join(out, "postfix") : out;
    const dump = spawnSync(realPostmap, ["-c", folder, "-s", `lmdb:${path}`], { encoding: "utf8" });
    if (dump.status !== 0) throw new Error(dump.stderr);
    text = dump.stdout;
  }
  const pairs = text.split("\n").filter((line) => line !== "");
  return new Map(pairs.map((line) => [line.split(/\s+/)[0] ?? "", line.split(/\s+/)[1] ?? ""]));
}

function isLmdb(path: string): boolean {
  const magic = readFileSync(path).subarray(16, 20);
  return magic.length === 4 && magic.readUInt32LE() === 0xbeefc0de;
}

/** Reads a passwd-file as Dovecot does, independently of what writes it. */
export function readUsersFile(text: string): UserRecord[] {
  return text
    .split("\n")
    .slice(0, -1)
    .map((line) => {
      const [name = "", password = "", uid, gid, gecos, home = "", shell, ...extra] = line.split(":");
      const fields = new Map(
        extra
          .join(":")
          .split(" ")
          .map((field) => [field.slice(0, field.indexOf("=")), field.slice(field.indexOf("=") + 1)]),
      );
      const quota = /^\*:storage=(\d+)M$/.exec(fields.get("userdb_quota_rule") ?? "")?.[1];
      const valid =
        [uid, gid, gecos, shell].every((field) => field === "") &&
        fields.size === 2 &&
        fields.get("userdb_quota_storage_size") === `${quota}M`;
      if (!valid) throw new Error(`not a line of ours: ${line}`);
      const [, domain, folder = ""] = /^\/var\/vmail\/([^/]+)\/([^/]+)$/.exec(home) ?? [];
      const mailbox = folder.slice(folder.lastIndexOf(".") + 1);
      if (`${folder.slice(0, folder.lastIndexOf("."))}@${domain}` !== name)
        throw new Error(`home of another: ${line}`);
      return { user: name, password, quota_mb: Number(quota), mailbox };
    });
}

export function usersIn(out: string): UserRecord[] {
  return readUsersFile(readFileSync(join(out, "users"), "utf8"));
}

/** Everything in the folder by name: content, mode, owner and time. What must not change is compared by this. */
export function picture(out: string): Record<string, string> {
  const seen: Record<string, string> = {};
  if (!existsSync(out)) return seen;
  for (const entry of readdirSync(out, { recursive: true, withFileTypes: true })) {
    // Another after each poll, whatever came of it.
    if (entry.name === "last-poll.json") continue;
    const path = join(entry.parentPath, entry.name);
    const { mode, uid, gid, mtimeMs, ino } = statSync(path);
    const content = entry.isFile() ? readFileSync(path, "latin1") : "";
    seen[path.slice(out.length + 1)] = JSON.stringify({ mode, uid, gid, mtimeMs, ino, content });
  }
  return seen;
}

/** The same, for what Dovecot and Postfix read. */
export function served(out: string): Record<string, string> {
  const products = /^(users|(domains|mailboxes|senders)(\.lmdb)?)$/;
  return Object.fromEntries(Object.entries(picture(out)).filter(([name]) => products.test(name)));
}

/** True content of everything that daemons read, against a state. */
export function serves(out: string): {
  users: UserRecord[];
  mailboxes: string[];
  senders: string[];
  domains: string[];
} {
  const keys = (map: string): string[] => [...(mapContent(out, map)?.keys() ?? [])].sort();
  return {
    users: usersIn(out),
    mailboxes: keys("mailboxes"),
    senders: keys("senders"),
    domains: keys("domains"),
  };
}

export function expectedOf(state: MailState): ReturnType<typeof serves> {
  const users = ([...state.users.values()] as UserRecord[]).sort((a, b) => (a.user < b.user ? -1 : 1));
  const addresses = users.map((record) => record.user);
  return { users, mailboxes: addresses, senders: addresses, domains: [...state.domains.keys()].sort() };
}
