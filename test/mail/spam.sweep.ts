/** Debian's rspamd with the shipped files, between Postfix and Dovecot. */
import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { chownSync, existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { NSD, ownAddress, startNameServer } from "../support/name-server.ts";
import { RSPAMD } from "../support/needs.ts";
import { deployedDaemons } from "./deployed.ts";
import { ImapClient } from "./imap.ts";
import { mailDaemons } from "./lab.ts";
import { arrives } from "./mailbox.ts";
import { ANNA, GTUBE, JAN, STRANGER } from "./people.ts";
import { mustRun, until } from "./processes.ts";
import { agePostfixFiles, DEPLOY, shipped } from "./shipped.ts";
import { SmtpClient, type SmtpReply, sendMail } from "./smtp.ts";

/** Nobody but 192.0.2.25 sends mail of the hosted domain. The stranger's server is a proper one. */
const ZONE = `elsewhere.test. MX 10 client.test.
elsewhere.test. TXT "v=spf1 mx -all"
client.test. A 198.51.100.7
7.100.51.198.in-addr.arpa. PTR client.test.
example.nl. TXT "v=spf1 ip4:192.0.2.25 -all"
_dmarc.example.nl. TXT "v=DMARC1; p=reject"
`;

const available = mailDaemons().available && [RSPAMD, NSD].every((path) => existsSync(path));

describe.skipIf(!available)("mail from other servers", () => {
  const node = deployedDaemons();
  let folder: string;
  let filter: ChildProcess;
  let stopNameServer: () => Promise<void>;

  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), "m25-spam-"));
    const nameServer = ownAddress();
    stopNameServer = await startNameServer(nameServer, { ".": ZONE });
    const etc = node.lab.postfixConfigDir;
    const [socket, settings, own] = [
      join(etc, "../spool/rspamd"),
      join(folder, "local.d"),
      join(folder, "own"),
    ];
    for (const made of [socket, settings, own]) mkdirSync(made);
    const id = (flag: string, name: string) => Number(execFileSync("id", [flag, name]));
    chownSync(socket, id("-u", "_rspamd"), id("-g", "postfix"));
    await mustRun("chmod", "2750", socket);
    const values: Record<string, Record<string, string>> = {
      "rspamd-worker-proxy.inc": { "/var/spool/postfix/rspamd": socket },
      "rspamd-options.inc": {
        disable_hyperscan: `dns { nameserver = ["${nameServer}:53:1"]; }\ndisable_hyperscan`,
      },
    };
    for (const name of readdirSync(DEPLOY).filter((one) => one.startsWith("rspamd-")))
      writeFileSync(join(settings, name.slice("rspamd-".length)), shipped(name, values[name]));
    await mustRun("chown", "-R", "_rspamd", folder);
    await mustRun("chmod", "755", folder);
    const places = { LOCAL_CONFDIR: folder, DBDIR: own, RUNDIR: own, LOGDIR: own };
    const variables = Object.entries(places).map(([name, path]) => `--var=${name}=${path}`);
    const as = ["--reuid=_rspamd", "--regid=_rspamd", "--clear-groups"];
    filter = spawn("setpriv", [...as, RSPAMD, "-f", "-c", "/etc/rspamd/rspamd.conf", ...variables], {
      stdio: "ignore",
    });
    await until("rspamd listens", () => existsSync(join(socket, "milter.sock")), 120);
    const forTests = "smtpd_authorized_xclient_hosts = 127.0.0.1";
    await mustRun("postconf", "-c", etc, "-e", ...settingsOf("postfix-filter-main.cf"), forTests);
    agePostfixFiles(etc);
    await mustRun("/usr/sbin/postfix", "-c", etc, "reload");
  });

  afterAll(async () => {
    await stopFilter();
    await stopNameServer?.();
    rmSync(folder, { recursive: true, force: true });
  });

  /** Its own processes end with it. */
  async function stopFilter(): Promise<void> {
    if (filter === undefined || filter.exitCode !== null || filter.signalCode !== null) return;
    const ended = once(filter, "exit");
    filter.kill();
    await ended;
  }

  /** Sends a mail as a server elsewhere does: the filter checks no sender at a local address. */
  async function send(from: string, header: string, text: string): Promise<SmtpReply> {
    const client = await SmtpClient.open({ port: node.lab.ports.smtp });
    await client.ehlo();
    await client.command("XCLIENT ADDR=198.51.100.7 NAME=client.test");
    await client.ehlo();
    await client.mailFrom(from);
    await client.rcptTo(JAN.address);
    const date = `Date: ${new Date().toUTCString()}\nMessage-ID: <${Math.random()}@elsewhere.test>`;
    const reply = await client.data(`From: <${header}>\nTo: <${JAN.address}>\n${date}\n${text}`);
    client.close();
    return reply;
  }

  async function junk(): Promise<string> {
    const imap = await ImapClient.open({ port: node.lab.ports.imap });
    await imap.login(JAN.address, JAN.password);
    await imap.select("Junk");
    const bodies = await imap.fetchBodies();
    await imap.logout();
    return bodies.join("\n");
  }

  test("arrives with what was checked, and without an X-Spam that the sender has written", async () => {
    expect((await send(STRANGER, STRANGER, "X-Spam: Yes\nSubject: an order\n\ntext\n")).code).toBe(250);
    const found = await arrives(node.lab, JAN, "an order");
    expect(found).toMatch(/^Authentication-Results: /m);
    expect(found).not.toMatch(/^X-Spam:/m);
  });

  test("that is certainly spam is refused", async () => {
    expect((await send(STRANGER, STRANGER, `Subject: spam\n\n${GTUBE}\n`)).code).toBe(554);
  });

  test("that claims to be from a hosted domain goes to Junk, as its DMARC record asks", async () => {
    expect((await send(STRANGER, ANNA.address, "Subject: pay this bill\n\ntext\n")).code).toBe(250);
    await until("it is in Junk", async () => (await junk()).includes("Subject: pay this bill"));
  });

  test("that users send is not filtered", async () => {
    const login = { user: ANNA.address, password: ANNA.password };
    const message = `From: <${ANNA.address}>\nSubject: from Anna\n\n${GTUBE}\n`;
    const envelope = { from: ANNA.address, to: JAN.address, login, message };
    expect((await sendMail({ port: node.lab.ports.submission }, envelope)).code).toBe(250);
    await arrives(node.lab, JAN, "from Anna");
  });

  test("arrives while the filter is away", async () => {
    await stopFilter();
    expect((await send(STRANGER, STRANGER, "Subject: without a filter\n\ntext\n")).code).toBe(250);
    await arrives(node.lab, JAN, "without a filter");
  });
});

/** The settings of a part of main.cf, for postconf. */
function settingsOf(name: string): string[] {
  return shipped(name)
    .split("\n")
    .filter((line) => /^\w+ = /.test(line));
}
