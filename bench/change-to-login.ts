/**
 * Time from a tool's answer to a working login, on a resident node with the real Dovecot, while a thousand other nodes wait;
 * beside it PostgreSQL with a streaming replica, from COMMIT to a login.
 */
import { mkdtempSync, writeFileSync } from "node:fs";
import { setPriority } from "node:os";
import { join } from "node:path";
import bcrypt from "bcrypt";
import Database from "better-sqlite3";
import { ImapClient } from "../test/mail/imap.ts";
import { type MailLab, mailDaemons, startMailLab } from "../test/mail/lab.ts";
import { missingPostgresql, startPostgresql } from "./postgresql.ts";
import {
  addNodes,
  benchmark,
  cleanup,
  headersOf,
  measuredServer,
  Program,
  print,
  printTable,
  quantile,
  seededDatabase,
  someHash,
  waitingNodes,
} from "./support.ts";

const USERS = Number(process.env.USERS ?? 10_000);
const OTHERS = Number(process.env.OTHERS ?? 1_000);
const CHANGES = Number(process.env.CHANGES ?? 60);
/** Milliseconds between a login and the next change. */
const PAUSE = Number(process.env.PAUSE ?? 300);
const PASSWORD = "correct horse battery";

await benchmark(async () => {
  const daemons = mailDaemons();
  if (!daemons.available) throw new Error(daemons.message);
  const { folder, database } = await seededDatabase({ users: USERS, domains: 10, passwordHash: someHash });
  const out = join(folder, "out");
  const mailRoot = mkdtempSync(join(folder, "mail-"));
  const [key = "", ...others] = await addNodes(database, OTHERS + 1);
  writeFileSync(join(folder, "key"), `${key}\n`, { mode: 0o600 });

  const server = measuredServer(database, "--max-semi-space-size=2");
  const url = await server.url();
  const flags = ["--server", url, "--key-file", join(folder, "key"), "--out", out, "--mail-root", mailRoot];
  const program = "dist/m25-mail-node.mjs";
  const once = new Program([program, "once", ...flags]);
  await once.until(/(applied revision)/);
  await once.ended();
  const lab = await startMailLab({ out, mailRoot });
  cleanup(lab.stop);
  const daemonFlags = ["--dovecot-config", lab.dovecotConfig, "--postfix-config", lab.postfixConfigDir];
  const node = new Program([program, "run", ...flags, ...daemonFlags]);
  const waiting = await waitingNodes(url, folder, others);
  // Other nodes are other machines: they only get the processor time that is left.
  setPriority(waiting.child.pid ?? 0, 19);
  await waiting.ask("follow");

  const add = async (email: string) => {
    const response = await fetch(`${url}/api/add-user`, {
      method: "POST",
      headers: headersOf(database),
      body: JSON.stringify({ email, password: PASSWORD }),
    });
    if (response.status !== 200) throw new Error(`add-user was answered ${response.status}`);
    await response.arrayBuffer();
  };
  const replica = new Database(join(out, "logins.db"), { readonly: true });
  cleanup(() => void replica.close());
  const mailbox = replica.prepare("SELECT 1 FROM mailbox WHERE local = ? AND domain = ?");
  const ours: Side = {
    lab,
    add,
    hasReplicated: async (email) => mailbox.get(...email.split("@")) !== undefined,
    times: { replicated: [], login: [], again: [] },
  };
  const missing = missingPostgresql();
  const sides = missing === undefined ? [ours, await postgresqlSide(join(folder, "postgresql"))] : [ours];
  for (let index = -3; index < CHANGES; index += 1) {
    for (const side of sides) await change(side, `live${index + 3}@domain01.example`, index < 0);
    // Let the other nodes wait again, as they would between two changes.
    await new Promise((resolve) => setTimeout(resolve, PAUSE));
  }
  await node.end();
  const rows = sides.flatMap(({ times: { replicated, login, again } }, index) => {
    const name = index === 0 ? "the tool's answer" : "PostgreSQL's COMMIT";
    return [
      [`from ${name} until the replica has it`, ...figures(replicated)],
      ["… until its owner is logged in over IMAP", ...figures(login)],
      ["… the same login again", ...figures(again)],
    ];
  });
  printTable(["", "median ms", "p90 ms", "p99 ms", "longest ms"], rows);
  print(`${CHANGES} changes, ${USERS} mailboxes, ${OTHERS} other nodes waiting, ${PAUSE} ms between changes`);
  if (missing !== undefined) print(`without PostgreSQL: ${missing}`);
});

/** A way from a change to a login. */
interface Side {
  lab: MailLab;
  /** Resolves when the change is promised. */
  add(email: string): Promise<void>;
  hasReplicated(email: string): Promise<boolean>;
  times: Record<"replicated" | "login" | "again", number[]>;
}

async function postgresqlSide(folder: string): Promise<Side> {
  const { lab, primary, standby } = await startPostgresql(folder, USERS);
  const hash = `{BLF-CRYPT}${bcrypt.hashSync(PASSWORD, 10)}`;
  const key = (email: string) => {
    const [local, domain] = email.split("@");
    return `'${domain}', '${local}'`;
  };
  return {
    lab,
    add: async (email) =>
      void (await primary.run(`INSERT INTO mailbox VALUES (${key(email)}, '${hash}', 1024);`)),
    hasReplicated: async (email) =>
      (await standby.run(`SELECT 1 FROM mailbox WHERE (domain, local) = (${key(email)});`)).length > 0,
    times: { replicated: [], login: [], again: [] },
  };
}

async function change(
  { lab, add, hasReplicated, times }: Side,
  email: string,
  isTrial: boolean,
): Promise<void> {
  const login = async () => {
    const imap = await ImapClient.open({ port: lab.ports.imap });
    await imap.login(email, PASSWORD);
    imap.close();
  };
  await add(email);
  const began = performance.now();
  const passed = () => performance.now() - began;
  // Dovecot delays each refused login by half a second, so wait for the change first.
  while (!(await hasReplicated(email))) await new Promise((resolve) => setTimeout(resolve, 2));
  const replicated = passed();
  await login();
  const first = passed();
  await login();
  if (isTrial) return;
  times.replicated.push(replicated);
  times.login.push(first);
  times.again.push(passed() - first);
}

function figures(times: readonly number[]): string[] {
  return [0.5, 0.9, 0.99, 1].map((q) => quantile(times, q).toFixed(0));
}
