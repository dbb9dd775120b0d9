/** A node's cost of one change at 10,000, 100,000 and 1,000,000 users, with real Postfix and Dovecot, by step. */
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { seedDatabase } from "../db/seed.ts";
import { openStore } from "../db/sqlite.ts";
import type { Store } from "../db/store.ts";
import type { Config } from "../src/agent/config.ts";
import type { Host } from "../src/agent/host.ts";
import { pollOnce } from "../src/agent/poll.ts";
import { thisMachine } from "../src/agent/this-machine.ts";
import { ImapClient } from "../test/mail/imap.ts";
import { type MailLab, mailDaemons, startMailLab } from "../test/mail/lab.ts";
import { SmtpClient } from "../test/mail/smtp.ts";
import { addUser } from "../tools/add-user.ts";
import { call } from "../tools/call.ts";
import { operator } from "../tools/principal.ts";
import { updatePassword } from "../tools/update-password.ts";
import {
  addNodes,
  benchmark,
  median,
  now,
  print,
  printTable,
  runtimeOf,
  serve,
  temporaryFolder,
} from "./support.ts";

const ROUNDS = Number(process.env.ROUNDS ?? 3);
const SIZES = (process.env.SIZES ?? "10000,100000,1000000").split(",").map(Number);
const PASSWORD = "correct horse battery";

/** Where an update's time goes, in ms; in the order in which it comes. */
const phases = [
  "read what is kept",
  "compare",
  "write",
  "wait for Dovecot",
  "postmap",
  "prove maps",
  "look up",
  "other",
] as const;

type Phase = (typeof phases)[number];

/** What one poll came to. */
interface Measured {
  total: number;
  cpu: number;
  bytes: number;
  /** Dovecot's first answer after the change, which reads its file anew; to `doveadm user`, or the login. */
  dovecot: number;
  /** Postfix's, to RCPT on a connection that was open before. */
  postfix: number;
  /** IMAP login of the changed user, once all is done. */
  login: number;
  phases: Record<Phase, number>;
}

const quiet: Host = { ...thisMachine, log: () => {} };
const measured = new Map<string, Map<number, Measured[]>>();

const available = mailDaemons();
if (!available.available) throw new Error(available.message);

await benchmark(async () => {
  for (const kind of ["a mailbox added", "a password changed"] as const) measured.set(kind, new Map());
  for (const users of SIZES) await measure(users);
  for (const [kind, bySize] of measured) {
    print(`\n${kind}`);
    const of = (pick: (one: Measured) => number) =>
      [...bySize.values()].map((runs) => median(runs.map(pick)).toFixed(0));
    printTable(
      ["median", ...[...bySize.keys()].map((users) => `${users} users`)],
      [
        ["whole poll, ms", ...of(({ total }) => total)],
        ...phases.map((phase) => [`  ${phase}`, ...of((one) => one.phases[phase])]),
        ["processor of the node's program, ms", ...of(({ cpu }) => cpu)],
        ["written by it, KB", ...of(({ bytes }) => bytes / 1000)],
        ["Dovecot's first answer, ms", ...of(({ dovecot }) => dovecot)],
        ["Postfix's first answer (RCPT), ms", ...of(({ postfix }) => postfix)],
        ["IMAP login afterwards, ms", ...of(({ login }) => login)],
      ],
    );
  }
});

async function measure(users: number): Promise<void> {
  const folder = temporaryFolder();
  const database = join(folder, "m25-mail.db");
  const passwordHash = `{BLF-CRYPT}$2b$10$${"a".repeat(53)}`;
  await seedDatabase(database, { users, domains: 100, passwordHash, at: now() });
  const [key = ""] = await addNodes(database, 1);
  const server = serve(database);
  const url = await server.until(/serves (http:\S+)/);
  writeFileSync(join(folder, "key"), key, { mode: 0o600 });
  const mailRoot = join(folder, "mail");
  mkdirSync(mailRoot);
  const config: Config = {
    server: new URL(url),
    keyFile: join(folder, "key"),
    out: join(folder, "out"),
    mailRoot,
  };
  await pollOnce(config, { host: quiet });
  const lab = await startMailLab({ out: config.out, mailRoot });
  try {
    config.dovecotConfig = lab.dovecotConfig;
    const store = openStore(database, { create: false });
    for (let round = 0; round < ROUNDS; round += 1) {
      const email = `new${round}@domain001.example`;
      const added = await oneChange(config, lab, email, () => change(store, "add", email));
      const changed = await oneChange(config, lab, email, () => change(store, "password", email));
      note("a mailbox added", users, added);
      note("a password changed", users, changed);
    }
    await store.close();
  } finally {
    await lab.stop();
    await server.end();
  }
}

function note(kind: string, users: number, one: Measured): void {
  const bySize = measured.get(kind);
  bySize?.set(users, [...(bySize.get(users) ?? []), one]);
  print(`${users} users, ${kind}: ${one.total.toFixed(0)} ms`);
}

async function change(store: Store, what: "add" | "password", email: string): Promise<void> {
  const tool = what === "add" ? addUser : updatePassword;
  const outcome = await call(runtimeOf(store), {
    principal: operator("cli"),
    tool,
    input: { email, password: PASSWORD },
  });
  if (!outcome.ok) throw outcome.error;
}

async function oneChange(
  config: Config,
  lab: MailLab,
  email: string,
  make: () => Promise<void>,
): Promise<Measured> {
  // Both daemons have everything in memory, as in service.
  await lab.doveadm("user", "nobody@domain001.example");
  const smtp = await SmtpClient.open({ port: lab.ports.smtp });
  await smtp.ehlo();
  await smtp.command("MAIL FROM:<sender@example.org>");
  await smtp.command("RCPT TO:<nobody@domain001.example>");
  await make();
  const { host, spans, bytes } = watched();
  const cpu = process.cpuUsage();
  const begun = performance.now();
  const { exitCode } = await pollOnce(config, { host });
  const total = performance.now() - begun;
  if (exitCode !== 0) throw new Error(`the poll ended with ${exitCode}\n${lab.log()}`);
  const { user, system } = process.cpuUsage(cpu);
  const postfix = await timed(async () => {
    const { code, lines } = await smtp.command(`RCPT TO:<${email}>`);
    if (code !== 250) throw new Error(`${lines.join()}\n${lab.log()}`);
  });
  await smtp.quit();
  const login = await timed(async () => {
    const imap = await ImapClient.open({ port: lab.ports.imap });
    await imap.login(email, PASSWORD);
    imap.close();
  });
  const dovecot = spans.find(({ name }) => name === "doveadm user");
  return {
    total,
    cpu: (user + system) / 1000,
    bytes: bytes(),
    dovecot: dovecot === undefined ? login : dovecot.end - dovecot.begin,
    postfix,
    login,
    phases: phasesOf(spans, total),
  };
}

async function timed(action: () => Promise<void>): Promise<number> {
  const begun = performance.now();
  await action();
  return performance.now() - begun;
}

interface Span {
  name: "kept" | "file" | "sleep" | "build" | "prove" | "doveadm user" | "ask";
  begin: number;
  end: number;
}

/** This machine, and what the node does on it. */
function watched(): { host: Host; spans: Span[]; bytes(): number } {
  const spans: Span[] = [];
  let bytes = 0;
  const span = async <T>(name: Span["name"], action: () => Promise<T>): Promise<T> => {
    const one = { name, begin: performance.now(), end: Number.NaN };
    spans.push(one);
    try {
      return await action();
    } finally {
      one.end = performance.now();
    }
  };
  const { files, clock, run } = quiet;
  const host: Host = {
    ...quiet,
    clock: { ...clock, sleep: (ms, signal) => span("sleep", () => clock.sleep(ms, signal)) },
    run: (command, args, options) => {
      const isAsked = args.includes("-q") || args.includes("who");
      const name = args.includes("user")
        ? "doveadm user"
        : isAsked
          ? "ask"
          : args.includes("-s")
            ? "prove"
            : "build";
      return span(name, () => run(command, args, options));
    },
    files: {
      ...files,
      async create(path) {
        const one: Span = { name: "file", begin: performance.now(), end: Number.NaN };
        spans.push(one);
        const file = await files.create(path);
        return {
          ...file,
          write: (text) => {
            bytes += text.length;
            return file.write(text);
          },
          close: async () => {
            await file.close();
            one.end = performance.now();
          },
        };
      },
      async *readPieces(path) {
        const one: Span = {
          name: path.endsWith("snapshot.ndjson") ? "kept" : "prove",
          begin: performance.now(),
          end: Number.NaN,
        };
        spans.push(one);
        yield* files.readPieces(path);
        one.end = performance.now();
      },
    },
  };
  return { host, spans, bytes: () => bytes };
}

function phasesOf(spans: readonly Span[], total: number): Record<Phase, number> {
  const sum = (...names: Span["name"][]) =>
    spans.filter(({ name }) => names.includes(name)).reduce((time, { begin, end }) => time + end - begin, 0);
  const kept = spans.find(({ name }) => name === "kept");
  const firstWritten = spans.find(({ name, begin }) => name === "file" && begin > (kept?.end ?? 0));
  const asked = spans.filter(({ name }) => name === "ask" || name === "doveadm user");
  const lookUp = asked.length === 0 ? 0 : (asked.at(-1)?.end ?? 0) - (asked[0]?.begin ?? 0);
  const known = {
    "read what is kept": sum("kept"),
    compare: kept === undefined || firstWritten === undefined ? 0 : firstWritten.begin - kept.end,
    write: sum("file"),
    "wait for Dovecot": sum("sleep"),
    postmap: sum("build"),
    "prove maps": sum("prove"),
    "look up": lookUp,
  };
  const other = total - Object.values(known).reduce((all, one) => all + one, 0);
  return { ...known, other: Math.max(other, 0) };
}
