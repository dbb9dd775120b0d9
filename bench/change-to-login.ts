/** Time from a tool's answer to a working login, on a resident node with the real Dovecot, while a thousand other nodes wait. */
import { mkdtempSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import Database from "better-sqlite3";
import { seedDatabase } from "../db/sqlite/seed.ts";
import { ImapClient, ImapRefused } from "../test/mail/imap.ts";
import { mailDaemons, startMailLab } from "../test/mail/lab.ts";
import {
  addNodes,
  benchmark,
  cleanup,
  now,
  Program,
  print,
  printTable,
  quantile,
  someHash,
  temporaryFolder,
} from "./support.ts";

const USERS = Number(process.env.USERS ?? 10_000);
const OTHERS = Number(process.env.OTHERS ?? 1_000);
const CHANGES = Number(process.env.CHANGES ?? 60);
const PASSWORD = "correct horse battery";

await benchmark(async () => {
  const daemons = mailDaemons();
  if (!daemons.available) throw new Error(daemons.message);
  const folder = temporaryFolder();
  const out = join(folder, "out");
  const mailRoot = mkdtempSync(join(folder, "mail-"));
  const database = join(folder, "m25-mail.db");
  await seedDatabase(database, { users: USERS, domains: 10, passwordHash: someHash, at: now() });
  const [key = "", ...others] = await addNodes(database, OTHERS + 1);
  writeFileSync(join(folder, "key"), `${key}\n`, { mode: 0o600 });
  writeFileSync(join(folder, "keys"), others.join("\n"), { mode: 0o600 });

  const server = new Program(["bench/servers/product.ts", database], { ipc: true });
  const url = await server.until(/serves (http:\S+)/);
  const flags = ["--server", url, "--key-file", join(folder, "key"), "--out", out, "--mail-root", mailRoot];
  const program = "dist/m25-mail-node.mjs";
  const once = new Program([program, "once", ...flags]);
  await once.until(/(applied revision)/);
  await once.ended();
  const lab = await startMailLab({ out, mailRoot });
  cleanup(lab.stop);
  const node = new Program([program, "run", ...flags, "--dovecot-config", lab.dovecotConfig]);
  const answer = await fetch(`${url}/sync/v1/maps`, { headers: { authorization: `Bearer ${key}` } });
  const cursor = /"cursor":"([^"]+)"/.exec(await answer.text())?.[1] ?? "";
  const waiting = new Program(["bench/servers/waiting-nodes.ts", url, join(folder, "keys"), cursor], {
    ipc: true,
  });
  await waiting.ask("follow");

  const token = readFileSync(join(folder, "first-token"), "utf8").trim();
  const add = async (email: string) => {
    const response = await fetch(`${url}/api/add-user`, {
      method: "POST",
      headers: { authorization: `Bearer ${token}`, "content-type": "application/json" },
      body: JSON.stringify({ email, password: PASSWORD }),
    });
    if (response.status !== 200) throw new Error(`add-user was answered ${response.status}`);
    await response.arrayBuffer();
  };
  const replica = new Database(join(out, "logins.db"), { readonly: true });
  cleanup(() => void replica.close());
  const mailbox = replica.prepare("SELECT 1 FROM mailbox WHERE local = ? AND domain = ?");
  /** Starts once the node has written the mailbox: Dovecot delays each refused login by half a second. */
  const login = async (email: string) => {
    while (mailbox.get(...email.split("@")) === undefined) {
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
    written.push(performance.now());
    for (;;) {
      const imap = await ImapClient.open({ port: lab.ports.imap });
      try {
        await imap.login(email, PASSWORD);
        return;
      } catch (error) {
        if (!(error instanceof ImapRefused)) throw error;
        refused += 1;
      } finally {
        imap.close();
      }
    }
  };

  let refused = 0;
  const written: number[] = [];
  const times: number[] = [];
  const untilWritten: number[] = [];
  for (let index = -3; index < CHANGES; index += 1) {
    const email = `live${index + 3}@domain01.example`;
    await add(email);
    const begin = performance.now();
    await login(email);
    if (index < 0) continue;
    times.push(performance.now() - begin);
    untilWritten.push((written.at(-1) ?? 0) - begin);
    // Let the other nodes wait again, as they would between two changes.
    await new Promise((resolve) => setTimeout(resolve, 300));
  }
  await node.end();
  printTable(
    ["after the tool's answer", "median ms", "p90 ms", "p99 ms", "longest ms"],
    [
      ["the mailbox stands in the node's replica", ...figures(untilWritten)],
      ["its owner is logged in over IMAP", ...figures(times)],
    ],
  );
  print(
    `${times.length} changes, ${USERS} mailboxes, ${OTHERS} other nodes waiting; logins refused first: ${refused}`,
  );
});

function figures(times: readonly number[]): string[] {
  return [0.5, 0.9, 0.99, 1].map((q) => quantile(times, q).toFixed(0));
}
