import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { openStore } from "../db/sqlite/store.ts";
import {
  benchmark,
  entryOf,
  now,
  Program,
  printTable,
  quantile,
  someHash,
  temporaryFolder,
} from "./support.ts";

const USERS = Number(process.env.USERS ?? 100_000);
const ALIASES = Number(process.env.ALIASES ?? USERS / 5);
const DOMAINS = 1_000;

/** An import of many mailboxes with their hashes and of aliases, each with three mailboxes as targets, and how long it keeps another process from writing. */
await benchmark(async () => {
  const folder = temporaryFolder();
  const [database, file] = [join(folder, "m25-mail.db"), join(folder, "users.csv")];
  const user = (index: number) => `user${index % USERS}@domain${index % DOMAINS}.example`;
  const lines = Array.from({ length: USERS }, (_, index) => `${user(index)},${someHash()},1024,\n`);
  const aliases = Array.from({ length: ALIASES }, (_, index) => {
    const targets = [1, 2, 3].map((step) => user(index + step * DOMAINS));
    return `alias${index}@domain${index % DOMAINS}.example,,,${targets.join(" ")}\n`;
  });
  writeFileSync(file, `email,hash,quota_mb,targets\n${lines.join("")}${aliases.join("")}`);
  const store = openStore(database, { create: true });
  const rows: string[][] = [];
  for (const [what, ...flags] of [["plan", "--dry-run"], ["import"], ["again"]]) {
    const waits: number[] = [];
    let running = true;
    const writing = (async () => {
      while (running) {
        const began = performance.now();
        // Refused after five seconds: then it waited that long.
        await store.write((tables) => tables.state.rewrite()).catch(() => {});
        waits.push(performance.now() - began);
        await new Promise((go) => setTimeout(go, 20));
      }
    })();
    const began = performance.now();
    const program = new Program([
      entryOf("."),
      "import",
      file,
      "--from",
      "csv",
      "--json",
      "--db",
      database,
      ...flags,
    ]);
    program.child.stdout?.resume();
    const code = await new Promise((ended) => program.child.once("close", ended));
    const seconds = (performance.now() - began) / 1000;
    running = false;
    await writing;
    if (code !== 0) throw new Error(`${what} ended with ${code}`);
    rows.push([String(what), seconds.toFixed(1), (quantile(waits, 1) / 1000).toFixed(2)]);
  }
  await store.close();
  process.stdout.write(`${USERS} mailboxes and ${ALIASES} aliases in ${DOMAINS} domains, ${now()}\n`);
  printTable(["", "takes, s", "another writer waits at most, s"], rows);
});
