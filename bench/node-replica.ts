/** The cost of a change, a first load and a whole state in a node's replica, at 10,000, 100,000 and 1,000,000 mailboxes. */
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import type { Replica } from "../src/node/replica/replica.ts";
import { encodeEnd } from "../src/sync/answer.ts";
import { StateDigest } from "../src/sync/digest.ts";
import { canonicalLine } from "../src/sync/records.ts";
import { hashOf, header, mailbox, NodeReplica, whole } from "./states.ts";
import { benchmark, median, print, printTable } from "./support.ts";

const ROUNDS = Number(process.env.ROUNDS ?? 50);
const SIZES = (process.env.SIZES ?? "10000,100000,1000000").split(",").map(Number);

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
  const node = await NodeReplica.open(folder);
  const [a, b, c] = ["a", "b", "c"].map(hashOf) as [string, string, string];
  try {
    const loads = [
      await node.take(whole(users, 1, a)),
      await node.take(whole(users, 2, a)),
      await node.take(whole(users, 3, b)),
    ];
    await node.reopen();
    const digest = StateDigest.fromHex(node.replica.meta?.digest ?? "");
    const times: number[] = [];
    const before = written(node.replica);
    for (let round = 0; round < ROUNDS; round += 1) {
      const index = Math.floor((users / ROUNDS) * round);
      digest.remove(mailbox(index, b)).add(mailbox(index, c));
      const lines = [
        header("delta", 4 + round, digest, users),
        canonicalLine(mailbox(index, c)),
        encodeEnd(1),
      ];
      times.push(
        await node.take(
          (async function* () {
            yield lines;
          })(),
        ),
      );
    }
    const kilobytes = (written(node.replica) - before) / ROUNDS / 1024;
    const seconds = loads.map((load) => (load / 1000).toFixed(1));
    return [`${users}`, ...seconds, median(times).toFixed(1), kilobytes.toFixed(0)];
  } finally {
    await node.close();
    rmSync(folder, { recursive: true });
  }
}
