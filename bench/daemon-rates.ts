/**
 * Recipients, logins and submitted mails a second of Postfix and Dovecot that ask the replica, beside the same programs with
 * lmdb maps and a passwd-file; and the wait for an answer about a recipient while a whole state is taken.
 */
import { execFileSync } from "node:child_process";
import { chmodSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import bcrypt from "bcrypt";
import { ImapClient } from "../test/mail/imap.ts";
import { type MailLab, mailDaemons, startMailLab } from "../test/mail/lab.ts";
import { SmtpClient } from "../test/mail/smtp.ts";
import { domainOf, mailbox, NodeReplica, whole } from "./states.ts";
import {
  benchmark,
  cleanup,
  median,
  Program,
  print,
  printTable,
  quantile,
  temporaryFolder,
} from "./support.ts";

const USERS = Number(process.env.USERS ?? 100_000);
/** Mailboxes of the whole state that is taken meanwhile; 0 to leave that out. */
const LARGE = Number(process.env.LARGE ?? 1_000_000);
/** 0 to leave the rates out. */
const ROUNDS = Number(process.env.ROUNDS ?? 5);
/** Milliseconds. */
const ROUND = Number(process.env.ROUND ?? 3_000);
const CLIENTS = 4;
const PASSWORD = "correct horse battery";
/** Cost 4, the least there is: the time of a real hash would hide the look-up. */
const HASH = `{BLF-CRYPT}${bcrypt.hashSync(PASSWORD, 4)}`;
const STRANGER = "stranger@elsewhere.test";

const someone = () => mailbox(Math.floor(Math.random() * USERS), HASH).user;

type Task = (lab: MailLab, isOver: () => boolean) => Promise<number>;

/** Runs a task in some connections at a time. Returns how many a second were done. */
async function rate(lab: MailLab, task: Task): Promise<number> {
  const began = performance.now();
  const isOver = () => performance.now() - began > ROUND;
  const done = await Promise.all(Array.from({ length: CLIENTS }, () => task(lab, isOver)));
  return (done.reduce((sum, one) => sum + one, 0) / (performance.now() - began)) * 1000;
}

const recipients: Task = async (lab, isOver) => {
  let done = 0;
  while (!isOver()) {
    const smtp = await SmtpClient.open({ port: lab.ports.smtp });
    await smtp.ehlo();
    await smtp.mailFrom(STRANGER);
    for (let count = 0; count < 500 && !isOver(); count += 1) {
      const { code, lines } = await smtp.rcptTo(someone());
      if (code !== 250) throw new Error(lines.join());
      done += 1;
    }
    smtp.close();
  }
  return done;
};

const logins: Task = async (lab, isOver) => {
  let done = 0;
  while (!isOver()) {
    const imap = await ImapClient.open({ port: lab.ports.imap });
    await imap.login(someone(), PASSWORD);
    await imap.logout();
    done += 1;
  }
  return done;
};

const submissionLogins: Task = async (lab, isOver) => {
  let done = 0;
  for (; !isOver(); done += 1) {
    const smtp = await SmtpClient.open({ port: lab.ports.submission });
    await smtp.ehlo();
    const { code, lines } = await smtp.authPlain(someone(), PASSWORD);
    if (code !== 235) throw new Error(lines.join());
    smtp.close();
  }
  return done;
};

const submissions: Task = async (lab, isOver) => {
  const user = someone();
  const smtp = await SmtpClient.open({ port: lab.ports.submission });
  await smtp.ehlo();
  const { code, lines } = await smtp.authPlain(user, PASSWORD);
  if (code !== 235) throw new Error(lines.join());
  let done = 0;
  for (; !isOver(); done += 1) {
    await smtp.mailFrom(user);
    await smtp.rcptTo(STRANGER);
    const reply = await smtp.data(`From: <${user}>\nTo: <${STRANGER}>\nSubject: test\n\ntest\n`);
    if (reply.code !== 250) throw new Error(reply.lines.join());
  }
  smtp.close();
  return done;
};

/** Two states of the daemons in turn. Returns the medians of their rates, and of the rounds' ratios. */
async function sideBySide(
  task: Task,
  [one, other]: readonly [() => Promise<MailLab>, () => Promise<MailLab>],
): Promise<string[]> {
  const rates: [number, number][] = [];
  for (let round = -1; round < ROUNDS; round += 1) {
    const pair: [number, number] = [await rate(await one(), task), await rate(await other(), task)];
    if (round >= 0) rates.push(pair);
  }
  const of = (side: 0 | 1) => median(rates.map((pair) => pair[side])).toFixed(0);
  return [of(0), of(1), median(rates.map(([first, second]) => first / second)).toFixed(2)];
}

await benchmark(async () => {
  const daemons = mailDaemons();
  if (!daemons.available) throw new Error(daemons.message);
  const folder = temporaryFolder();
  if (ROUNDS > 0) await rates(folder);
  if (LARGE > 0) await duringWholeState(join(folder, "large"));
});

async function rates(folder: string): Promise<void> {
  const lab = await replicaLab(join(folder, "replica"), USERS);
  cleanup(() => void lab.close());
  const files = await filesLab(join(folder, "files"), lab.out);
  const rows: string[][] = [];
  const labs = [async () => lab.lab, async () => files] as const;
  rows.push(["recipients, as shipped", ...(await sideBySide(recipients, labs))]);
  for (const one of [lab.lab, files])
    await postconf(one, "-e", "smtpd_recipient_restrictions=reject_unlisted_recipient");
  rows.push(["… without the question for the quota", ...(await sideBySide(recipients, labs))]);
  rows.push(["IMAP logins", ...(await sideBySide(logins, labs))]);
  const withAndWithout = (setting: string) => {
    const config = ["-c", lab.lab.postfixConfigDir];
    const shipped = execFileSync("postconf", [...config, "-h", setting], { encoding: "utf8" });
    const set = (value: string) => async () => {
      await postconf(lab.lab, "-e", `${setting}=${value}`);
      return lab.lab;
    };
    return [set(shipped.replaceAll("\n", " ")), set("")] as const;
  };
  rows.push([
    "submitted mails: with the check of sender and password's revision, without",
    ...(await sideBySide(submissions, withAndWithout("mua_sender_checks"))),
  ]);
  rows.push([
    "logins at submission: with the question whether passwords are ready, without",
    ...(await sideBySide(submissionLogins, withAndWithout("mua_client_restrictions"))),
  ]);
  printTable([`a second, ${CLIENTS} at a time, ${USERS} mailboxes`, "replica", "files", "x, by round"], rows);
}

async function postconf({ postfixConfigDir }: MailLab, ...args: string[]): Promise<void> {
  execFileSync("postconf", ["-c", postfixConfigDir, ...args]);
  execFileSync("postfix", ["-c", postfixConfigDir, "reload"], { stdio: "ignore" });
  await new Promise((resolve) => setTimeout(resolve, 2_500));
}

/**
 * The replica stays open, as the resident program has it: a daemon that reads a file that nobody else has open reads the
 * pages anew for each question (SQLite's wal.c, "unreliable shm").
 */
async function replicaLab(folder: string, users: number) {
  const [out, mailRoot] = [join(folder, "out"), join(folder, "mail")];
  for (const path of [out, mailRoot]) mkdirSync(path, { recursive: true, mode: 0o711 });
  const node = await NodeReplica.open(out, mailRoot);
  await node.take(whole({ users }, 1, HASH));
  const lab = await startMailLab({ out, mailRoot });
  cleanup(lab.stop);
  return { lab, out, close: () => node.close() };
}

/** The same daemons with maps of type lmdb and a passwd-file. */
async function filesLab(folder: string, out: string): Promise<MailLab> {
  const mailRoot = join(folder, "mail");
  mkdirSync(mailRoot, { recursive: true, mode: 0o711 });
  const lab = await startMailLab({ out, mailRoot });
  cleanup(lab.stop);
  const everybody = Array.from({ length: USERS }, (_, index) => mailbox(index, HASH));
  const domains = Array.from({ length: USERS / 100 }, (_, index) => domainOf(index * 100));
  const file = (name: string, lines: readonly string[]): string => {
    writeFileSync(join(folder, name), `${lines.join("\n")}\n`);
    return join(folder, name);
  };
  const maps = {
    virtual_mailbox_domains: file(
      "domains",
      domains.map((domain) => `${domain} OK`),
    ),
    virtual_mailbox_maps: file(
      "mailboxes",
      everybody.map(({ user }) => `${user} OK`),
    ),
    virtual_alias_maps: file("aliases", ["info@d000000.example u000@d000000.example"]),
    smtpd_sender_login_maps: file(
      "senders",
      everybody.map(({ user }) => `${user} ${user}`),
    ),
  };
  for (const [setting, path] of Object.entries(maps)) {
    execFileSync("postmap", ["-c", lab.postfixConfigDir, `lmdb:${path}`]);
    execFileSync("postconf", ["-c", lab.postfixConfigDir, "-e", `${setting}=lmdb:${path}`]);
  }
  await postconf(lab, "-e", "lmdb_map_size=1073741824");
  const lines = everybody.map(
    ({ user, password, quota_mb }) =>
      `${user}:${password}:5000:5000::${join(mailRoot, user)}::userdb_quota_rule=*:storage=${quota_mb}M`,
  );
  const passwd = file("passwd", lines);
  for (const path of [folder, passwd]) chmodSync(path, 0o755);
  const config = readFileSync(lab.dovecotConfig, "utf8").replace(
    /^(passdb|userdb) \{\n {2}driver = sql\n {2}args = .*\n/gm,
    (_, kind) =>
      kind === "passdb"
        ? `passdb {\n  driver = passwd-file\n  args = scheme=BLF-CRYPT username_format=%Lu ${passwd}\n`
        : `userdb {\n  driver = passwd-file\n  args = username_format=%Lu ${passwd}\n`,
  );
  if (!config.includes("passwd-file"))
    throw new Error("this benchmark replaces the sql blocks of Dovecot 2.3");
  writeFileSync(lab.dovecotConfig, config);
  await lab.doveadm("reload");
  await new Promise((resolve) => setTimeout(resolve, 2_000));
  return lab;
}

/** One recipient at a time, before and while a node takes a whole state in which each mailbox has changed. */
async function duringWholeState(folder: string): Promise<void> {
  const { lab, out, close } = await replicaLab(folder, LARGE);
  await close();
  const node = new Program(["bench/servers/whole-state.ts", out, `${LARGE}`], { ipc: true });
  const waits = async (until: Promise<unknown>): Promise<number[]> => {
    const times: number[] = [];
    let over = false;
    void until.then(() => {
      over = true;
    });
    while (!over) {
      const smtp = await SmtpClient.open({ port: lab.ports.smtp });
      await smtp.ehlo();
      await smtp.mailFrom(STRANGER);
      for (let count = 0; count < 100 && !over; count += 1) {
        const began = performance.now();
        const { code, lines } = await smtp.rcptTo(mailbox(Math.floor(Math.random() * LARGE), HASH).user);
        if (code !== 250) throw new Error(lines.join());
        times.push(performance.now() - began);
        await new Promise((resolve) => setTimeout(resolve, 5));
      }
      smtp.close();
    }
    return times;
  };
  const before = await waits(new Promise((resolve) => setTimeout(resolve, 5_000)));
  const taken = node.ask<number>("take");
  const meanwhile = await waits(taken);
  const row = (name: string, times: number[]) => [
    name,
    ...[0.5, 0.99, 1].map((q) => quantile(times, q).toFixed(1)),
  ];
  printTable(
    [`answer about one recipient, ${LARGE} mailboxes`, "median ms", "p99 ms", "longest ms"],
    [row("before", before), row("while a whole state is taken", meanwhile)],
  );
  print(`the whole state took ${((await taken) / 1000).toFixed(1)} s; ${meanwhile.length} recipients`);
}
