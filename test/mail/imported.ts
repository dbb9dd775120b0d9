/** Imports sample files of other mail systems, and serves them by a real node and real daemons. */
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, onTestFinished } from "vitest";
import type { Planned } from "../../tools/operator/import/outcome.ts";
import { accountsOf, hasJq } from "../docs/panel-accounts.ts";
import { m25mail, serveProcess } from "../support/program.ts";
import { temporaryFolder } from "../support/store.ts";
import type { Dovecot } from "./dovecot.ts";
import { type MailLab, startMailLab } from "./lab.ts";
import { canLogin } from "./mailbox.ts";
import { run } from "./processes.ts";

const SAMPLES = join(import.meta.dirname, "../samples/import");

const NODE = join(import.meta.dirname, "../../dist/m25-mail-node.mjs");

type Source = readonly [from: string, ...files: string[]];

const sample = (...files: string[]) => files.map((file) => join(SAMPLES, file));

/** A dump of PostfixAdmin, by the kind of its database. */
type Dump = "mysql" | "pgsql";

/** The samples of each kind of source, and what the page's commands make of other panels' samples. */
const sources = (dump: Dump): readonly Source[] => [
  ["passwd-file", ...sample("dovecot-passwd-file/users")],
  ["postfixadmin", ...sample(`postfixadmin/postfix.${dump}.sql`)],
  ["mailcow", ...sample("mailcow/mailcow.mysql.sql")],
  [
    "docker-mailserver",
    ...sample("docker-mailserver/postfix-accounts.cf", "docker-mailserver/dovecot-quotas.cf"),
  ],
  [
    "csv",
    ...sample("csv/plain-semicolon-hashes.csv"),
    ...(["modoboa", "iredmail", "mailinabox", "cpanel"] as const).map(accountsOf),
    ...(hasJq ? [accountsOf("mailu")] : []),
  ],
];

/** Hashes with the least and the most cost that is taken: a login takes up to seconds. */
const edges: Source = ["passwd-file", ...sample("edges/users")];

/** People of a form of Mailu that the page does not name, and all of Mailu without jq, which its command needs. */
const absent = ({ name }: { name: string }) => (hasJq ? name === "noor@kade.example" : /@kade/.test(name));

interface Person {
  readonly name: string;
  readonly password: string;
}

/** The people behind the samples' hashes, with their passwords. */
function peopleOf(file: string): Person[] {
  const [, ...lines] = readFileSync(join(SAMPLES, file), "utf8").trimEnd().split("\n");
  return lines.map((line) => {
    const [name = "", , password = ""] = line.split("\t");
    return { name, password };
  });
}

export interface Imported {
  /** Everybody whose password is known. */
  people: readonly Person[];
  /** The outcome for each mailbox. */
  mailboxes: readonly Planned[];
  lab: MailLab;
  /** Runs m25-mail on this database. */
  shell(...args: string[]): ReturnType<typeof m25mail>;
  /** Updates the node. */
  sync(): Promise<void>;
}

/**
 * Imports all samples into a new database and starts the daemons of a node that has fetched them.
 *
 * @param dovecot tries the costly hashes too, with this Dovecot
 * @param nodeFirst the node has reported this machine's Dovecot before the import
 * @param dump the form in which PostfixAdmin's people come
 */
export async function importSamples({
  dovecot,
  nodeFirst = false,
  dump = "mysql",
}: {
  dovecot?: Dovecot;
  nodeFirst?: boolean;
  dump?: Dump;
} = {}): Promise<Imported> {
  const folder = temporaryFolder();
  mkdirSync(join(folder, "server"));
  const database = join(folder, "server/m25-mail.db");
  const { url } = await serveProcess(database);
  const shell = (...args: string[]) => m25mail([...args, "--db", database]);
  const added = await shell("call", "add-node", "--name", "pi-1", "--json");
  writeFileSync(join(folder, "key"), JSON.parse(added.stdout).sync_key, { mode: 0o600 });
  const [out, mailRoot] = [join(folder, "out"), join(folder, "mail")];
  mkdirSync(mailRoot);
  const flags = ["--server", url, "--key-file", join(folder, "key"), "--out", out, "--mail-root", mailRoot];
  const poll = async (...daemons: string[]) =>
    void expect(await run(process.execPath, NODE, "once", ...flags, ...daemons)).toMatchObject({ code: 0 });
  if (nodeFirst) await poll();
  const mailboxes: Planned[] = [];
  const people = peopleOf("passwords.tsv").filter((person) => !absent(person));
  const all = [...sources(dump)];
  if (dovecot !== undefined) {
    all.push(edges);
    people.push(...peopleOf("edges/passwords.tsv"));
  }
  for (const [from, ...files] of all) {
    const flags = ["--from", from, "--unlimited-as", "500", "--json"];
    const { code, stdout, stderr } = await shell("import", ...files, ...flags);
    expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
    mailboxes.push(...JSON.parse(stdout).mailboxes);
  }
  await poll();
  const lab = await startMailLab({ out, mailRoot, ...(dovecot && { dovecot }) });
  onTestFinished(() => lab.stop());
  const daemons = ["--dovecot-config", lab.dovecotConfig, "--postfix-config", lab.postfixConfigDir];
  return { people, mailboxes, lab, shell, sync: () => poll(...daemons) };
}

/**
 * Everybody whose mailbox was taken can log in with the password that was there, and nobody else can; a mailbox that was
 * inactive there once it is restored. All others are named as needing a new password.
 */
export async function expectLogins(imported: Imported): Promise<void> {
  const { people } = imported;
  const planned = new Map(imported.mailboxes.map((mailbox) => [mailbox.name, mailbox]));
  expect(people.filter(({ name }) => !planned.has(name))).toEqual([]);
  const isInactive = ({ name }: Person) => planned.get(name)?.reason?.includes("inactive") === true;
  const inactive = people.filter(isInactive);
  const inSamples = ["dirk@bakkerij", "mo@kade", "paul@laan", "sjaan@fiets", "tess@plein"].map(
    (name) => `${name}.example`,
  );
  expect(inactive.map(({ name }) => name)).toEqual(inSamples.filter((name) => !absent({ name })));
  const active = people.filter(
    (person) => planned.get(person.name)?.outcome === "taken" && !inactive.includes(person),
  );
  expect(await whoLogsIn(imported, people)).toEqual(active);
  const others = people.filter((person) => !active.includes(person) && !inactive.includes(person));
  expect(others.filter(({ name }) => planned.get(name)?.outcome !== "new_password")).toEqual([]);
  for (const { name } of active.slice(0, 3)) {
    expect(await canLogin(imported.lab, { address: name, password: "wrong" })).toBe(false);
  }

  const restored = await Promise.all(inactive.map(({ name }) => imported.shell("user", "restore", name)));
  expect(restored.filter(({ code }) => code !== 0)).toEqual([]);
  await imported.sync();
  expect(await whoLogsIn(imported, inactive)).toEqual(inactive);
}

/** Those who can log in with the password behind their hash. */
async function whoLogsIn({ lab }: Imported, people: readonly Person[]): Promise<Person[]> {
  const able = await Promise.all(
    people.map(({ name, password }) => canLogin(lab, { address: name, password })),
  );
  return people.filter((_, at) => able[at]);
}
