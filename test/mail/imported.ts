/** Imports sample files of other mail systems, and serves them by a real node and real daemons. */
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, onTestFinished } from "vitest";
import type { Planned } from "../../tools/operator/import/outcome.ts";
import { m25mail, serveProcess } from "../support/program.ts";
import { temporaryFolder } from "../support/store.ts";
import type { Dovecot } from "./dovecot.ts";
import { type MailLab, startMailLab } from "./lab.ts";
import { canLogin } from "./mailbox.ts";
import { run } from "./processes.ts";

const SAMPLES = join(import.meta.dirname, "../samples/import");

const NODE = join(import.meta.dirname, "../../dist/m25-mail-node.mjs");

/** The arguments of `import` for each sample. */
const imports: readonly (readonly string[])[] = [
  ["dovecot-passwd-file/users", "--from", "passwd-file"],
  ["postfixadmin/postfix.mysql.sql", "--from", "postfixadmin"],
  ["mailcow/mailcow.mysql.sql", "--from", "mailcow"],
  [
    "docker-mailserver/postfix-accounts.cf docker-mailserver/dovecot-quotas.cf",
    "--from",
    "docker-mailserver",
  ],
  ["csv/plain-semicolon-hashes.csv", "--from", "csv"],
];

/** Hashes with the least and the most cost that is taken: a login takes up to seconds. */
const edges = ["edges/users", "--from", "passwd-file"];

/** The passwords behind the samples' hashes, by address. */
const passwords: ReadonlyMap<string, string> = new Map(
  ["passwords.tsv", "edges/passwords.tsv"].flatMap((file) =>
    readFileSync(join(SAMPLES, file), "utf8")
      .trimEnd()
      .split("\n")
      .map((line): [string, string] => {
        const [address = "", , password = ""] = line.split("\t");
        return [address, password];
      }),
  ),
);

export interface Imported {
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
 */
export async function importSamples({
  dovecot,
  nodeFirst = false,
}: {
  dovecot?: Dovecot;
  nodeFirst?: boolean;
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
  for (const [files = "", ...from] of dovecot === undefined ? imports : [...imports, edges]) {
    const paths = files.split(" ").map((file) => join(SAMPLES, file));
    const { code, stdout, stderr } = await shell(
      "import",
      ...paths,
      ...from,
      "--unlimited-as",
      "500",
      "--json",
    );
    expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
    mailboxes.push(...JSON.parse(stdout).mailboxes);
  }
  await poll();
  const lab = await startMailLab({ out, mailRoot, ...(dovecot && { dovecot }) });
  onTestFinished(() => lab.stop());
  const daemons = ["--dovecot-config", lab.dovecotConfig, "--postfix-config", lab.postfixConfigDir];
  return { mailboxes, lab, shell, sync: () => poll(...daemons) };
}

/**
 * Everybody whose mailbox was taken can log in with the password that was there, and nobody else can; a mailbox that was
 * inactive there once it is restored.
 */
export async function expectLogins(imported: Imported): Promise<void> {
  const known = imported.mailboxes.filter(({ name }) => passwords.has(name));
  expect(known.length).toBeGreaterThan(35);
  const inactive = known.filter(({ reason }) => reason?.includes("inactive")).map(({ name }) => name);
  expect(inactive).toEqual(["dirk@bakkerij.example", "sjaan@fiets.example"]);
  const taken = known.filter(({ outcome }) => outcome === "taken").map(({ name }) => name);
  const active = taken.filter((name) => !inactive.includes(name));
  const names = known.map(({ name }) => name);
  expect(await whoLogsIn(imported, names)).toEqual(active);
  for (const address of active.slice(0, 3)) {
    expect(await canLogin(imported.lab, { address, password: "wrong" })).toBe(false);
  }

  for (const name of inactive) {
    expect(await imported.shell("user", "restore", name)).toMatchObject({ code: 0 });
  }
  await imported.sync();
  expect(await whoLogsIn(imported, inactive)).toEqual(inactive);
}

/** The addresses that can log in with the password behind their hash. */
async function whoLogsIn({ lab }: Imported, addresses: readonly string[]): Promise<string[]> {
  const able = await Promise.all(
    addresses.map((address) => canLogin(lab, { address, password: passwords.get(address) ?? "" })),
  );
  return addresses.filter((_, at) => able[at]);
}
