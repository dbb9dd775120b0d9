/**
 * The cost of a changed mailbox or alias, a first load and a whole state in a node's replica, at 10,000, 100,000 and 1,000,000
 * mailboxes with a tenth as many aliases.
 */
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import type { Replica } from "../src/node/replica/replica.ts";
import { encodeEnd } from "../src/sync/answer.ts";
import { StateDigest } from "../src/sync/digest.ts";
import { canonicalLine, type MailRecord } from "../src/sync/records.ts";
import { alias, hashOf, header, mailbox, NodeReplica, whole } from "./states.ts";
import { benchmark, median, print, printTable } from "./support.ts";

const ROUNDS = Number(process.env.ROUNDS ?? 50);
const SIZES = (process.env.SIZES ?? "10000,100000,1000000").split(",").map(Number);

const written = ({ db }: Replica) =>
  Number(/^wchar: (\d+)/m.exec(readFileSync(`/proc/${db.pid}/io`, "utf8"))?.[1] ?? 0);

await benchmark(async () => {
  const rows: string[][] = [];
  for (const users of SIZES) rows.push(await measure(users));
  printTable(
    [
      "mailboxes",
      "first load, s",
      "same again, s",
      "all changed, s",
      "one mailbox, ms",
      "one alias, ms",
      "written, KB",
    ],
    rows,
  );
  for (const [what, column] of [
    ["mailbox", 4],
    ["alias", 5],
  ] as const) {
    const [small, large] = [rows[0], rows.at(-1)].map((row) => Number(row?.[column]));
    print(`one ${what}, largest against smallest: ${((large ?? 0) / (small ?? 1)).toFixed(2)}`);
  }
});

async function measure(users: number): Promise<string[]> {
  const folder = mkdtempSync(join(process.env.TMPDIR ?? "/var/tmp", "m25-replica-"));
  const node = await NodeReplica.open(folder);
  const [a, b, c] = ["a", "b", "c"].map(hashOf) as [string, string, string];
  const size = { users, aliases: users / 10 };
  try {
    const loads = [
      await node.take(whole(size, 1, a)),
      await node.take(whole(size, 2, a)),
      await node.take(whole(size, 3, b)),
    ];
    await node.reopen();
    const digest = StateDigest.fromHex(node.replica.meta?.digest ?? "");
    let revision = 3;
    const change = (before: MailRecord, after: MailRecord) => {
      revision += 1;
      digest.remove(before).add(after);
      const lines = [header("delta", revision, digest, size), canonicalLine(after), encodeEnd(1)];
      return node.take(
        (async function* () {
          yield lines;
        })(),
      );
    };
    const times: Record<"mailbox" | "alias", number[]> = { mailbox: [], alias: [] };
    const before = written(node.replica);
    for (let round = 0; round < ROUNDS; round += 1) {
      const index = Math.floor((users / ROUNDS) * round);
      times.mailbox.push(await change(mailbox(index, b), mailbox(index, c)));
      const one = Math.floor((size.aliases / ROUNDS) * round);
      times.alias.push(await change(alias(one), alias(one, one + 1)));
    }
    const kilobytes = (written(node.replica) - before) / ROUNDS / 2 / 1024;
    return [
      `${users}`,
      ...loads.map((load) => (load / 1000).toFixed(1)),
      median(times.mailbox).toFixed(1),
      median(times.alias).toFixed(1),
      kilobytes.toFixed(0),
    ];
  } finally {
    await node.close();
    rmSync(folder, { recursive: true });
  }
}
