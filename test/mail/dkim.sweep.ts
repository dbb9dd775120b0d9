/** DKIM from the key to a receiver: the real programs, opendkim with the shipped files, Postfix, a name server, another verifier. */
import { type ChildProcess, spawn } from "node:child_process";
import { Resolver } from "node:dns/promises";
import { once } from "node:events";
import {
  chmodSync,
  chownSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import type { AddressInfo, Server } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { authenticate } from "mailauth";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { openStore } from "../../db/sqlite/store.ts";
import { lookForDueKeys, NSD, ownAddress, startNameServer } from "../support/name-server.ts";
import { OPENDKIM } from "../support/needs.ts";
import { elsewhere, type Mail } from "./elsewhere.ts";
import { type MailLab, mailDaemons, startMailLab } from "./lab.ts";
import { arrives } from "./mailbox.ts";
import { endDaemon, type Finished, mustRun, run, until, watchOver } from "./processes.ts";
import { agePostfixFiles, shipped } from "./shipped.ts";
import { type Envelope, sendMail } from "./smtp.ts";

const dist = join(import.meta.dirname, "..", "..", "dist");
const BOSS = "boss@partner.test";
const STRANGER = "stranger@elsewhere.test";
const JAN = { user: "jan@example.nl", password: "correct horse battery" };
const EVA = { user: "eva@baker.example", password: "battery staple horse" };

interface Shown {
  name: string;
  type: string;
  expected: string;
  state: string;
  why: string | null;
}

const available = mailDaemons().available && [NSD, OPENDKIM].every((path) => existsSync(path));

describe.skipIf(!available)("mail that users send", () => {
  const received: Mail[] = [];
  const resolver = new Resolver();
  const published: string[] = [];
  let folder: string;
  let keyFolder: string;
  let out: string;
  let database: string;
  let server: ChildProcess;
  let url: string;
  let lab: MailLab;
  let outside: Server;
  let nameServer: string;
  let stopNameServer: () => Promise<void>;
  let signerPid: string;
  let cleanedUp: () => void;

  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), "m25-dkim-"));
    // opendkim uses no key below a folder in which everybody may write, such as /tmp.
    keyFolder = mkdtempSync("/run/m25-dkim-");
    chmodSync(keyFolder, 0o711);
    out = join(folder, "out");
    database = join(folder, "server", "m25-mail.db");
    signerPid = join(folder, "opendkim.pid");
    mkdirSync(join(folder, "mail"));
    nameServer = ownAddress();
    stopNameServer = await startNameServer(nameServer, { ".": "" });
    resolver.setServers([nameServer]);
    await startServer();
    const added = await cli("call", "add-node", "--name", "pi-1");
    writeFileSync(join(folder, "key"), `${added.sync_key}\n`, { mode: 0o600 });
    await addMailbox(JAN);
    await cli("call", "set-alias", "--address", "info@example.nl", "--targets", JAN.user, "--send-as");
    outside = elsewhere(received).listen(0, "127.0.0.1");
    expect(await poll()).toMatchObject({ code: 0 });
    lab = await startMailLab({ out, mailRoot: join(folder, "mail") });
    cleanedUp = watchOver(folder, [signerPid]);
    await setUpSigner();
    // The node reports its name with the next change.
    await addMailbox(EVA);
    expect(await poll()).toMatchObject({ code: 0 });
  });

  afterAll(async () => {
    await lab?.stop();
    await endDaemon(signerPid);
    cleanedUp?.();
    outside?.close();
    await stopNameServer?.();
    if (server?.exitCode === null) {
      server.kill("SIGTERM");
      await once(server, "exit");
    }
    for (const made of [folder, keyFolder]) rmSync(made, { recursive: true, force: true });
  });

  async function startServer(): Promise<void> {
    const settings = ["--port", "0", "--db", database, "--tools", "dns,aliases", "--name-server", nameServer];
    server = spawn(process.execPath, [join(dist, "m25-mail.js"), "serve", ...settings], {
      stdio: ["ignore", "ignore", "pipe"],
    });
    if (server.stderr === null) throw new Error("no stderr");
    for await (const line of createInterface({ input: server.stderr })) {
      const found = /serves (http:\S+)/.exec(line)?.[1];
      if (found === undefined) continue;
      url = found;
      break;
    }
  }

  /** Runs a command of the server, and returns its result. */
  async function cli(...words: string[]): Promise<Record<string, unknown>> {
    const args = [...words, "--json", "--db", database];
    return JSON.parse(await mustRun(process.execPath, join(dist, "m25-mail.js"), ...args));
  }

  async function addMailbox({ user, password }: typeof JAN): Promise<void> {
    await cli("call", "add-domain", "--domain", user.split("@")[1] ?? "");
    writeFileSync(join(folder, "password"), `${password}\n`);
    await cli("call", "add-user", "--email", user, "--password-file", join(folder, "password"));
  }

  /** Runs the node's program once. */
  function poll(): Promise<Finished> {
    const args = ["--server", url, "--key-file", join(folder, "key"), "--out", out];
    const daemons =
      lab === undefined
        ? []
        : ["--dovecot-config", lab.dovecotConfig, "--postfix-config", lab.postfixConfigDir];
    const own = ["--mail-root", join(folder, "mail"), "--dkim", join(keyFolder, "dkim"), ...daemons];
    return run(process.execPath, join(dist, "m25-mail-node.mjs"), "once", ...args, ...own);
  }

  async function setUpSigner(): Promise<void> {
    const etc = lab.postfixConfigDir;
    const socket = join(etc, "../spool/opendkim");
    const id = async (flag: string, name: string) => Number(await mustRun("id", flag, name));
    mkdirSync(socket);
    chownSync(socket, await id("-u", "opendkim"), await id("-g", "postfix"));
    await mustRun("chmod", "2750", socket);
    const conf = join(folder, "opendkim.conf");
    writeFileSync(
      conf,
      shipped("opendkim.conf", {
        "/var/lib/m25-mail-node": keyFolder,
        "/var/spool/postfix/opendkim": socket,
        "/run/opendkim/opendkim.pid": signerPid,
      }),
    );
    await startSigner();
    await mustRun(
      "postconf",
      "-c",
      etc,
      "-e",
      `default_transport=smtp:[127.0.0.1]:${(outside.address() as AddressInfo).port}`,
    );
    const [setting = ""] = /^mua_milters = .*$/m.exec(shipped("postfix-dkim-main.cf")) ?? [];
    await mustRun("postconf", "-c", etc, "-e", setting);
    agePostfixFiles(etc);
    await mustRun("/usr/sbin/postfix", "-c", etc, "reload");
  }

  async function startSigner(): Promise<void> {
    const socket = join(lab.postfixConfigDir, "../spool/opendkim/opendkim.sock");
    rmSync(socket, { force: true });
    await mustRun(OPENDKIM, "-x", join(folder, "opendkim.conf"));
    await until("opendkim listens", () => existsSync(socket));
  }

  /** The DKIM records that `m25-mail check` shows. */
  async function records(domain = "example.nl"): Promise<Shown[]> {
    const { records } = (await cli("check", domain, "--name-server", nameServer)) as { records: Shown[] };
    return records.filter(({ name }) => name.includes("._domainkey."));
  }

  /** Publishes the DKIM records that `m25-mail check` says to paste, and lets the server look for them. */
  async function publish(...domains: string[]): Promise<void> {
    for (const domain of domains) {
      const { zone } = await cli("check", domain, "--name-server", nameServer);
      published.push(
        ...String(zone)
          .split("\n")
          .filter((line) => line.includes("._domainkey.")),
      );
    }
    await stopNameServer();
    stopNameServer = await startNameServer(nameServer, { ".": published.join("\n") });
    const store = openStore(database, { create: false });
    await lookForDueKeys(store, new Date(Date.now() + 86_400_000), nameServer);
    await store.close();
  }

  const send = (login: typeof JAN, from: string, { header = from }: { header?: string } = {}) =>
    sendMail({ port: lab.ports.submission }, {
      ...{ from, to: BOSS, login },
      message: `From: <${header}>\nTo: <${BOSS}>\nSubject: from ${from}\n\nA  text\n.with a dot\n`,
    } satisfies Envelope);

  /** A receiver's findings about the next mail that leaves: each signature's domain, selector and result. */
  async function verified(action: () => Promise<{ code: number }>): Promise<unknown[]> {
    const before = received.length;
    expect((await action()).code).toBe(250);
    await until("the mail leaves", () => received.length > before).catch((error) => {
      throw new Error(`${error}\n${lab.log()}`);
    });
    const { text, from } = received[before] as Mail;
    const found = await authenticate(Buffer.from(text, "latin1"), {
      ip: "192.0.2.25",
      helo: "mail.example.nl",
      mta: "mx.partner.test",
      sender: from,
      resolver: (name, type) => resolver.resolve(name, type) as never,
    });
    return found.dkim.results
      .filter(({ signingDomain }) => signingDomain !== undefined)
      .map(({ signingDomain, selector, status }) => `${signingDomain} ${selector} ${status.result}`);
  }

  const selectorIn = ({ name }: Shown) => name.split(".")[0];

  test("leaves unsigned until DNS has the record that `m25-mail check` shows", async () => {
    expect(await records()).toMatchObject([
      { type: "TXT", state: "missing", expected: expect.stringMatching(/^v=DKIM1; k=rsa; p=MIIB/) },
    ]);
    expect(await verified(() => send(JAN, JAN.user))).toEqual([]);
  });

  test("is signed from then on, from an alias and a plus address too, and an independent verifier passes it", async () => {
    await publish("example.nl", "baker.example");
    expect(await poll()).toMatchObject({ code: 0, stderr: expect.stringContaining("signs mail of") });
    const [record] = await records();
    expect(record).toMatchObject({ state: "ok", why: null });
    const passes = [`example.nl ${record && selectorIn(record)} pass`];
    for (const from of [JAN.user, "info@example.nl", "jan+shop@example.nl", "Jan@Example.NL"])
      expect(await verified(() => send(JAN, from))).toEqual(passes);
    // So is a vacation message, which Dovecot sends by sendmail.
    const vacation = `printf 'From: <${JAN.user}>\nTo: <${BOSS}>\n\nI am away.\n'`;
    const sent = async () => {
      await mustRun("sh", "-c", `${vacation} | /usr/sbin/sendmail -C ${lab.postfixConfigDir} -f '' ${BOSS}`);
      return { code: 250 };
    };
    expect(await verified(sent)).toEqual(passes);
  });

  test("is never signed as another domain than its sender's, whatever its From says", async () => {
    const [forged = ""] = await verified(() => send(EVA, EVA.user, { header: JAN.user }));
    expect(forged).toMatch(/^baker\.example m25-[0-9a-f]{12} pass$/);
  });

  test("from outside is not signed, and arrives while the signer is away; sending then waits", async () => {
    const deliver = (subject: string) =>
      sendMail(
        { port: lab.ports.smtp },
        { from: STRANGER, to: JAN.user, message: `From: <${JAN.user}>\nSubject: ${subject}\n\ntext\n` },
      );
    const jan = { address: JAN.user, password: JAN.password };
    expect((await deliver("forged")).code).toBe(250);
    expect(await arrives(lab, jan, "forged")).not.toContain("DKIM-Signature");
    await endDaemon(signerPid);
    expect((await send(JAN, JAN.user)).code).toBe(454);
    expect((await deliver("meanwhile")).code).toBe(250);
    await arrives(lab, jan, "meanwhile");
    await startSigner();
    expect(await verified(() => send(JAN, JAN.user))).toHaveLength(1);
  });

  test("is signed with a new key after a rotation, once its record is there; the old record must stay", async () => {
    const [old] = await records();
    await cli("dkim", "rotate", "example.nl");
    expect(await poll()).toMatchObject({ code: 0 });
    expect(await poll()).toMatchObject({ code: 0 });
    const passes = (record: Shown | undefined) => [`example.nl ${record && selectorIn(record)} pass`];
    expect(await verified(() => send(JAN, JAN.user))).toEqual(passes(old));
    const both = await records();
    expect(both).toMatchObject([{ name: old?.name, state: "ok" }, { state: "missing" }]);
    await publish("example.nl");
    expect(await poll()).toMatchObject({ code: 0 });
    expect(await verified(() => send(JAN, JAN.user))).toEqual(passes(both[1]));
    expect(await poll()).toMatchObject({ code: 0 });
    expect(await records()).toMatchObject([
      { name: both[1]?.name, state: "ok", why: null },
      { name: old?.name, state: "ok", why: expect.stringMatching(/must stay until then/) },
    ]);
    expect(await mustRun(process.execPath, join(dist, "m25-mail.js"), "audit", "--db", database)).toContain(
      "rotate-dkim",
    );
  });

  test("has a socket that only opendkim and Postfix can use", () => {
    const path = join(lab.postfixConfigDir, "../spool/opendkim");
    expect(statSync(path).mode & 0o7777).toBe(0o2750);
  });
});
