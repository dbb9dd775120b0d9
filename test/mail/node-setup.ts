/** Runs the line that add-node gives on a fresh Debian, which has none of the node's packages yet. */
import { execFileSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { authenticate } from "mailauth";
import { expect, onTestFinished, test } from "vitest";
import { nodePackageFile } from "../../src/program/node-package.ts";
import { command } from "../docs/pages.ts";
import { packagedNode } from "../docs/runs.ts";
import { temporaryFolder } from "../support/store.ts";
import {
  type Answer,
  debianFolder,
  denials,
  type Folder,
  type FreshDebian,
  type Shown,
  startFreshDebian,
} from "./fresh-debian.ts";
import { ADDRESS, NAME_SERVER, SERVER_ADDRESS, startAuthority, startDns, TRUSTED } from "./fresh-network.ts";
import { fields, isCurrent, SERVER, SERVER_PACKAGES, setUpServer } from "./fresh-server.ts";
import { LOGIN_DENIED, mailClient, NO_CONNECTION, REFUSED, TAKEN } from "./mail-client.ts";
import { ANNA, GTUBE, JAN, STRANGER } from "./people.ts";
import { mustRun, until } from "./processes.ts";
import { DEPLOY } from "./shipped.ts";

const NODE = "mail.example.nl";
const BOSS = "boss@partner.test";
const GUESSER = "127.0.0.66";
const CTRL_C = "\x03";
const setup = "m25-mail-node setup";
/** All that setup asks. */
const QUESTIONS = [`[${NODE}]: `, "Sync key (it is not shown): ", "[y/N] "] as const;
const RECORDS = `${NODE}. A ${ADDRESS}
${ADDRESS.split(".").reverse().join(".")}.in-addr.arpa. PTR ${NODE}.
example.nl. MX 10 ${NODE}.
gmail.com. MX 10 ${NODE}.
`;

const built = join(DEPLOY, "../dist", nodePackageFile);
/** The packages that apt has to fetch for the node's. */
const needed = execFileSync("dpkg-deb", ["--field", built, "Depends", "Recommends"], { encoding: "utf8" })
  .replaceAll(/^\w+:|\([^)]*\)/gm, "")
  .split(/[,\s]+/)
  .filter((name) => name !== "");

type Machine = Awaited<ReturnType<typeof newMachine>>;

/** @param faults whether the set-up also meets faults and Ctrl-C */
export async function testNodeSetup(suite: "bookworm" | "trixie", { faults = false } = {}): Promise<void> {
  const folder = await debianFolder(
    suite,
    ["ca-certificates", "wget", "pebble"],
    [...needed, "fail2ban", "nftables", "rspamd"],
  );
  const serverFolder = await debianFolder(suite, SERVER_PACKAGES);
  if (!folder.available) process.stderr.write(folder.message);

  test.skipIf(!folder.available || !serverFolder.available)(
    `on ${suite}, beside a server that was set up on another, the line for a new node makes one that works${faults ? ", also after faults and Ctrl-C" : ""}, stays as it is the second time, and keeps local settings over an upgrade`,
    async () => {
      const began = performance.now();
      const made = await newMachine(folder, serverFolder);
      const { server, machine, serve } = made;
      const added = await server.sh("m25-mail call add-node --name pi");
      const { sync_key: key = "" } = fields(added);
      const [line = ""] = /^apt-get update .*$/m.exec(added) ?? [];
      const acme = `--acme-server ${await startAuthority(machine)}`;
      const first = faults
        ? await stopsAndGoesOn(made, { line: `${line} --without-filter`, key, acme })
        : await answersQuestions(made, { line, key, acme });
      expect(rowsOf(first.said), first.said).toEqual({
        services: "ok",
        replica: "ok",
        "port 25": "ok",
        "port 465": "ok",
        "port 587": "ok",
        "port 143": "ok",
        "port 4190": "ok",
        "port 993": "ok",
        certificate: "ok",
        disk: "ok",
        queue: "ok",
        clock: "unknown",
        DNS: "ok",
        "from outside": "ok",
        "mail out": "ok",
        blocklist: "ok",
      });
      expect(first.code).toBe(0);
      await isCurrent(server);
      await receivesAndSends(machine);
      const minutes = (performance.now() - began) / 60_000;
      const way = faults
        ? "with faults and Ctrl-C on the way"
        : `by two commands and ${server.answers + QUESTIONS.length} answers`;
      process.stdout.write(
        `${suite}: a server and a node that serves mail, ${way}, in ${minutes.toFixed(1)} minutes\n`,
      );
      await answersForItsOwner(machine);
      const record = await dkimRecord(server);
      await serve(`${RECORDS}${record}`);

      const before = await stateOf(machine);
      await machine.sh(setup);
      expect(await stateOf(machine)).toBe(before);
      await machine.sh(
        "m25-mail-node status; m25-mail-node accept; m25-mail-node check --json | grep '\"ok\":true'",
      );
      await receivesAndSends(machine);

      await machine.sh("echo 'message_size_limit = 1000000' >/etc/postfix/local.cf");
      await installEarlier(machine);
      await machine.sh(setup);
      expect(await machine.sh("postconf -h message_size_limit biff")).toBe("1000000\nyes\n");
      await machine.sh(command(packagedNode.upgrade));
      expect(await machine.sh("postconf -h message_size_limit biff")).toBe("1000000\nno\n");
      expect(await machine.sh("postconf -n 2>&1 | grep -c 'overriding earlier entry' || true")).toBe("0\n");
      await isCurrent(server);
      await receivesAndSends(machine);

      if (faults) await keepsWhatOthersWrote(machine);
      await renewsItsCertificate(machine);
      await signs(machine, record);
      // Its Dovecot is newer than fail2ban's filter.
      if (suite === "trixie") await locksOut(machine);
      if (faults) await machine.sh(`m25-mail-node check | grep 'no filter'; ${setup} --with-filter`);
      await refusesSpam(machine);
      if (faults) await learns(machine);
      expect(await machine.sh(denials)).toBe("");
    },
  );
}

/** Starts a fresh Debian that has a name, beside one where a server was set up with a domain and two mailboxes. */
async function newMachine(base: Folder, serverBase: Folder) {
  if (!base.available) throw new Error(base.message);
  const machine = await startFreshDebian(base.path, { NODE_EXTRA_CA_CERTS: "/etc/authority.pem" });
  onTestFinished(machine.stop);
  const dns = await startDns(machine);
  onTestFinished(dns.stop);
  const server = await setUpServer(serverBase, machine, "example.nl");
  for (const { address, password } of [JAN, ANNA])
    await server.sh(`m25-mail call add-user --email ${address}`, password);
  await machine.sh(
    `tee /etc/authority.pem /usr/local/share/ca-certificates/authority.crt >>${TRUSTED}; hostname ${NODE}
      printf '127.0.0.1 ${NODE}\n${SERVER_ADDRESS} ${SERVER}\n' >>/etc/hosts`,
    { input: server.authority },
  );
  const serve = async (records: string) => {
    await dns.serve(records);
    await server.serve(records);
  };
  return { server, machine, serve };
}

interface Pasted {
  line: string;
  key: string;
  /** The flag with the address of the authority. */
  acme: string;
}

/** The whole line, with three answers at the terminal. */
async function answersQuestions({ machine, serve }: Machine, { line, key, acme }: Pasted): Promise<Shown> {
  await serve(RECORDS);
  const [name, asked, certificate] = QUESTIONS;
  return await machine.atTerminal(`${line} ${acme}`, [
    [name, "\r"],
    [asked, `${key}\r`],
    [certificate, "y\r"],
  ]);
}

/** Ctrl-C at each question and in the middle, and a name that is not in DNS yet: setup says so, and the next one goes on. */
async function stopsAndGoesOn({ machine, serve }: Machine, { line, key, acme }: Pasted): Promise<Shown> {
  const [again = ""] = /m25-mail-node setup .*/.exec(line) ?? [];
  const [name, asked, certificate] = QUESTIONS;
  const stopped = async (script: string, ...answers: Answer[]) =>
    expect((await machine.atTerminal(script, answers)).said).toContain("Given up.");
  await stopped(line, [name, CTRL_C]);
  await stopped(again, [name, "\r"], [asked, CTRL_C]);
  // An answer is asked for once, and the key is exchanged at once.
  await stopped(again, [asked, `${key}\r`], [certificate, CTRL_C]);

  const withCertificate = `${again} --certbot ${acme}`;
  const refused = await machine.atTerminal(withCertificate, []);
  expect(refused).toMatchObject({
    code: 78,
    said: expect.stringContaining("Does the name lead to this machine"),
  });
  await serve(RECORDS);
  await stopped(withCertificate, ["certbot asks", CTRL_C]);
  await stopped(withCertificate, ["main.cf: written", CTRL_C]);
  return await machine.atTerminal(withCertificate, []);
}

/** Shows what somebody else added to main.cf, and replaces it only when told. */
async function keepsWhatOthersWrote(machine: FreshDebian): Promise<void> {
  await machine.sh("echo 'mailbox_transport = virtual' >>/etc/postfix/main.cf");
  const refused = await machine.sh(`${setup} || echo "exit $?"`);
  expect(refused).toContain("+mailbox_transport = virtual");
  expect(refused).toContain("exit 78");
  expect(await machine.sh("postconf -h mailbox_transport")).toBe("virtual\n");
  await machine.sh(`${setup} --replace`);
  expect(await machine.sh("postconf -h mailbox_transport")).toBe("\n");
  expect(await machine.sh("cat /etc/postfix/main.cf.before-*")).toContain("mailbox_transport = virtual");
}

async function clientOf(machine: FreshDebian) {
  const cert = join(temporaryFolder(), "cert.pem");
  writeFileSync(cert, await machine.sh("cat /etc/ssl/m25-mail/fullchain.pem"));
  return mailClient(machine, NODE, cert);
}

async function receivesAndSends(machine: FreshDebian): Promise<void> {
  const mail = await clientOf(machine);
  const subject = `mail ${Math.random()}`;
  expect(await mail.send("smtp", 25, { from: STRANGER, to: JAN.address, subject })).toMatchObject(TAKEN);
  await mail.arrives(JAN, subject);
  const sent = `sent ${Math.random()}`;
  const message = { from: JAN.address, to: ANNA.address, subject: sent, login: JAN };
  expect(await mail.send("smtps", 465, message)).toMatchObject(TAKEN);
  await mail.arrives(ANNA, sent);
}

/** A vacation message leaves by the machine's own Postfix. */
async function answersForItsOwner(machine: FreshDebian): Promise<void> {
  await machine.sh(`printf 'require "vacation"; vacation "I am away.";' >/tmp/away
    doveadm sieve put -u ${JAN.address} -a away /tmp/away`);
  const mail = await clientOf(machine);
  const message = { from: ANNA.address, to: JAN.address, subject: "a question", login: ANNA };
  expect(await mail.send("smtps", 465, message)).toMatchObject(TAKEN);
  await mail.arrives(ANNA, "Auto: a question");
}

/** Installs an earlier version of the package, which has another setting of Postfix. */
async function installEarlier(machine: FreshDebian): Promise<void> {
  const folder = temporaryFolder();
  const [unpacked, earlier] = [join(folder, "unpacked"), join(folder, "earlier.deb")];
  await mustRun("dpkg-deb", "--raw-extract", built, unpacked);
  const share = join(unpacked, "usr/share/m25-mail-node");
  await mustRun("sed", "-i", "s/^biff = no/biff = yes/", join(share, "postfix-main.cf"));
  await mustRun("sed", "-i", "s/^Version: .*/&~earlier/", join(unpacked, "DEBIAN/control"));
  await mustRun("dpkg-deb", "--root-owner-group", "--build", unpacked, earlier);
  await machine.copyIn(earlier, "root/earlier.deb");
  await machine.sh("DEBIAN_FRONTEND=noninteractive apt-get install -y --allow-downgrades ./earlier.deb");
}

/** Both daemons show the new certificate after certbot's own renewal. */
async function renewsItsCertificate(machine: FreshDebian): Promise<void> {
  const shown = (port: number) =>
    machine.sh(
      `openssl s_client -connect 127.0.0.1:${port} </dev/null 2>/dev/null | openssl x509 -noout -serial || true`,
    );
  const ports = [465, 993];
  const before = await Promise.all(ports.map(shown));
  expect(before[0]).toBe(before[1]);
  await machine.sh("certbot renew --force-renewal --no-random-sleep-on-renew");
  for (const port of ports)
    await until(`${port} has it`, async () => !["", before[0]].includes(await shown(port)));
}

/** The record that the node's key needs in DNS, once the node has reported the key. */
async function dkimRecord(server: Machine["server"]): Promise<string> {
  let record: string | undefined;
  await until("the server shows the record", async () => {
    const checked = await server.sh(`m25-mail check example.nl --name-server ${NAME_SERVER} || true`);
    record = /^\S+\._domainkey\.\S+ TXT .*$/m.exec(checked)?.[0];
    return record !== undefined;
  });
  return record ?? "";
}

/** A mail from a user to another server is signed, and another verifier passes it. */
async function signs(machine: FreshDebian, record: string): Promise<void> {
  await machine.sh(`echo 'transport_maps = inline:{partner.test=smtp:[127.0.0.1]:2525}' >>/etc/postfix/local.cf
    ${setup}; mkdir -m 777 /var/sink
    systemd-run --unit=sink smtp-sink -u postfix -d /var/sink/mail. 127.0.0.1:2525 10`);
  // The server looks for the record once a minute. The node says it once opendkim has been told.
  const said = "journalctl --unit m25-mail-node | grep 'signs mail of example.nl' || true";
  await until("the node signs", async () => (await machine.sh(said)) !== "", 300);
  const mail = await clientOf(machine);
  const message = { from: JAN.address, to: BOSS, subject: "signed", login: JAN };
  expect(await mail.send("smtps", 465, message)).toMatchObject(TAKEN);
  await until("the mail leaves", async () =>
    /^mail\.\S+\n$/.test(await machine.sh("ls /var/sink; postqueue -j")),
  );
  const text = await machine.sh("cat /var/sink/mail.*");
  const key = [...record.matchAll(/"([^"]*)"/g)].map(([, part = ""]) => part);
  const found = await authenticate(Buffer.from(text.replaceAll(/\r?\n/g, "\r\n")), {
    ip: ADDRESS,
    helo: NODE,
    mta: "mx.partner.test",
    sender: JAN.address,
    resolver: async (name, type) => {
      if (type === "TXT" && record.startsWith(`${name}.`)) return [key];
      throw Object.assign(new Error(name), { code: "ENOTFOUND" });
    },
  });
  expect(found.dkim.results).toMatchObject([{ signingDomain: "example.nl", status: { result: "pass" } }]);
}

/** fail2ban, installed later, locks out an address that guesses passwords, and no other. */
async function locksOut(machine: FreshDebian): Promise<void> {
  await machine.sh(`DEBIAN_FRONTEND=noninteractive apt-get install -y fail2ban nftables
    printf '[DEFAULT]\nignoreself = false\n' >/etc/fail2ban/jail.d/m25-mail.local
    ${setup}`);
  const mail = await clientOf(machine);
  const banned = async (jail: string) =>
    (await machine.sh(`fail2ban-client get ${jail} banip || true`)).includes(GUESSER);
  for (const [jail, scheme, port] of [
    ["m25-mail-send", "smtps", 465],
    ["m25-mail-read", "imaps", 993],
  ] as const) {
    await until(
      `${jail} runs`,
      async () => (await machine.sh(`fail2ban-client status ${jail} || true`)) !== "",
    );
    const guess = () =>
      mail.tryPassword({ ...JAN, password: "a guess" }, `${scheme}://${NODE}:${port}`, GUESSER);
    // The last one may get no answer any more.
    expect(await Promise.all(Array.from({ length: 10 }, guess))).toContain(LOGIN_DENIED);
    await until(`${jail} has it`, () => banned(jail));
    await until("it is locked out", async () => (await guess()) === NO_CONNECTION);
    await machine.sh(`fail2ban-client unban ${GUESSER}`);
  }
  await receivesAndSends(machine);
}

/** rspamd checks mail from other servers. */
async function refusesSpam(machine: FreshDebian): Promise<void> {
  await machine.sh("m25-mail-node check | grep '^ok  *services .*rspamd'");
  const mail = await clientOf(machine);
  const spam = { from: STRANGER, to: JAN.address, subject: "spam", text: GTUBE };
  await until("it is refused", async () => (await mail.send("smtp", 25, spam)).code === REFUSED);
  await receivesAndSends(machine);
}

/** A user moves a mail to Junk and back, and rspamd learns it. */
async function learns(machine: FreshDebian): Promise<void> {
  const mail = await clientOf(machine);
  const text = Array.from({ length: 60 }, (_, index) => `word${index}`).join(" ");
  await mail.send("smtp", 25, { from: STRANGER, to: ANNA.address, subject: "to be learnt", text });
  await mail.arrives(ANNA, "to be learnt");
  const learnt = async (symbol: string) => {
    const shown = await machine.sh("rspamc -h /run/rspamd-learn/controller.sock stat");
    return new RegExp(`${symbol} .* learned: 1;`).test(shown);
  };
  await mail.command(ANNA, "INBOX", "MOVE * Junk");
  await until("it is learnt as spam", () => learnt("BAYES_SPAM"));
  await mail.command(ANNA, "Junk", "MOVE * INBOX");
  await until("it is learnt as wanted", () => learnt("BAYES_HAM"));
  await machine.sh("systemctl stop rspamd");
  await mail.command(ANNA, "INBOX", "MOVE * Junk");
  await machine.sh("systemctl start rspamd");
}

/** The state of each check by its name. */
function rowsOf(table: string): Record<string, string> {
  const rows = [...table.matchAll(/^(ok|not ok|unknown) +(\S+(?: \S+)?) {2,}/gm)];
  return Object.fromEntries(rows.map(([, state = "", check = ""]) => [check, state]));
}

/** The configuration's sums, and since when each daemon runs. */
async function stateOf(machine: FreshDebian): Promise<string> {
  return await machine.sh(`find /etc /var/lib/m25-mail-setup -type f -exec sha256sum {} + | sort
    systemctl show --property ActiveEnterTimestamp m25-mail-node postfix dovecot opendkim rspamd`);
}
