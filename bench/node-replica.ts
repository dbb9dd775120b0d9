/** The cost of a change, a first load and a whole state in a node's replica, at 10,000, 100,000 and 1,000,000 mailboxes. */
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { thisMachine } from "../src/node/machine.ts";
import { applyIncoming } from "../src/node/replica/apply.ts";
import { takeAnswer } from "../src/node/replica/incoming.ts";
import { DEFAULT_THRESHOLDS } from "../src/node/replica/losses.ts";
import { closeReplica, noteInodes, openReplica, type Replica } from "../src/node/replica/replica.ts";
import { encodeEnd, encodeHeader, type Header } from "../src/sync/answer.ts";
import { StateDigest } from "../src/sync/digest.ts";
import { canonicalLine, type UserRecord } from "../src/sync/records.ts";
import { benchmark, median, print, printTable } from "./support.ts";

const ROUNDS = Number(process.env.ROUNDS ?? 50);
const SIZES = (process.env.SIZES ?? "10000,100000,1000000").split(",").map(Number);
const PER_DOMAIN = 100;

const domainOf = (index: number) => `d${String(Math.floor(index / PER_DOMAIN)).padStart(6, "0")}.example`;

function mailbox(index: number, letter: string): UserRecord {
  const local = `u${String(index % PER_DOMAIN).padStart(3, "0")}`;
  const password = `{BLF-CRYPT}$2b$10$${letter.repeat(53)}`;
  return { user: `${local}@${domainOf(index)}`, password, quota_mb: 1024, mailbox: "0".repeat(16) };
}

function header(kind: Header["kind"], revision: number, digest: StateDigest, users: number): string {
  const counts = { domains: Math.ceil(users / PER_DOMAIN), users };
  const rest = { history: "0".repeat(32), revision, digest: digest.toString(), cursor: `c${revision}` };
  return encodeHeader({ kind, role: "mail", counts, ...rest });
}

/** Lines of a whole state, which are made as they are taken; a first pass makes the digest. */
async function* whole(users: number, revision: number, letter: string): AsyncGenerator<string[]> {
  const digest = new StateDigest();
  for (let index = 0; index < users; index += 1) {
    if (index % PER_DOMAIN === 0) digest.add({ domain: domainOf(index) });
    digest.add(mailbox(index, letter));
  }
  yield [header("snapshot", revision, digest, users)];
  const domains = Array.from({ length: Math.ceil(users / PER_DOMAIN) }, (_, index) => index * PER_DOMAIN);
  yield domains.map((index) => canonicalLine({ domain: domainOf(index) }));
  for (let from = 0; from < users; from += 1000) {
    const to = Math.min(from + 1000, users);
    yield Array.from({ length: to - from }, (_, index) => canonicalLine(mailbox(from + index, letter)));
  }
  yield [encodeEnd(users + domains.length)];
}

const written = ({ db }: Replica) =>
  Number(/^wchar: (\d+)/m.exec(readFileSync(`/proc/${db.pid}/io`, "utf8"))?.[1] ?? 0);

await benchmark(async () => {
  const rows: string[][] = [];
  for (const users of SIZES) rows.push(await measure(users));
  printTable(
    ["mailboxes", "first load, s", "same again, s", "all changed, s", "one change, ms", "written, KB"],
    rows,
  );
  const [small, large] = [rows[0], rows.at(-1)].map((row) => Number(row?.[4]));
  print(`one change, largest against smallest: ${((large ?? 0) / (small ?? 1)).toFixed(2)}`);
});

async function measure(users: number): Promise<string[]> {
  const folder = mkdtempSync(join(process.env.TMPDIR ?? "/var/tmp", "m25-replica-"));
  const place = { machine: thisMachine, folder, sqlite: "sqlite3" };
  let replica = await openReplica(place);
  const take = async (lines: AsyncIterable<string[]>): Promise<number> => {
    const pieces = lines[Symbol.asyncIterator]();
    const first = await pieces.next();
    const began = performance.now();
    async function* all() {
      yield first.value as string[];
      yield* { [Symbol.asyncIterator]: () => pieces };
    }
    const incoming = await takeAnswer(replica, all());
    const now = Date.now();
    await applyIncoming(place, replica, incoming, {
      ...{ thresholds: DEFAULT_THRESHOLDS, mailRoot: "/var/vmail", now },
    });
    const took = performance.now() - began;
    if (replica.replaced !== "") await noteInodes(replica);
    return took;
  };
  try {
    const loads = [
      await take(whole(users, 1, "a")),
      await take(whole(users, 2, "a")),
      await take(whole(users, 3, "b")),
    ];
    // As the program does: what a whole state leaves in temporary tables goes with the connection.
    await closeReplica(replica);
    replica = await openReplica(place);
    await noteInodes(replica);
    const digest = StateDigest.fromHex(replica.meta?.digest ?? "");
    const times: number[] = [];
    const before = written(replica);
    for (let round = 0; round < ROUNDS; round += 1) {
      const index = Math.floor((users / ROUNDS) * round);
      digest.remove(mailbox(index, "b")).add(mailbox(index, "c"));
      const lines = [
        header("delta", 4 + round, digest, users),
        canonicalLine(mailbox(index, "c")),
        encodeEnd(1),
      ];
      times.push(
        await take(
          (async function* () {
            yield lines;
          })(),
        ),
      );
    }
    const kilobytes = (written(replica) - before) / ROUNDS / 1024;
    const seconds = loads.map((load) => (load / 1000).toFixed(1));
    return [`${users}`, ...seconds, median(times).toFixed(1), kilobytes.toFixed(0)];
  } finally {
    await closeReplica(replica);
    rmSync(folder, { recursive: true });
  }
}
