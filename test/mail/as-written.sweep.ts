/** Runs the pages' commands for a mailbox node, as written, on a fresh Debian with Debian's own Node. */
import { mkdirSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, onTestFinished, test } from "vitest";
import { command } from "../docs/pages.ts";
import { mailboxNode, mxNode } from "../docs/runs.ts";
import { certificate } from "../support/certificate.ts";
import { startM25mail } from "../support/program.ts";
import { temporaryFolder } from "../support/store.ts";
import { debianFolder, type FreshDebian, startFreshDebian } from "./fresh-debian.ts";
import { ANNA, JAN, STRANGER } from "./people.ts";
import { type Finished, mustRun, run, until } from "./processes.ts";
import { DEPLOY } from "./shipped.ts";

const CHECKOUT = join(DEPLOY, "..");
/** The names in the pages and in the files of deploy/. */
const SERVER = "mail-admin.example.nl";
const NODE = "mail.example.nl";
const MX = "mx2.example.nl";

/** curl's result for accepted mail. */
const TAKEN = { code: 0, stderr: "" };

const atServer = command(mailboxNode.atServer);
const toJoin = command(mailboxNode.toJoin);
const setUp = command(mailboxNode.setUp);
const packages = [...`${toJoin}${setUp}`.matchAll(/^apt-get install (.*)$/gm)].flatMap(([, names = ""]) =>
  names.split(" "),
);

/** Adapts a script to Debian 13: a comment in it names the file to use instead. */
const forDebian13 = (script: string) =>
  script.replaceAll(/ (\S+)( \S+ *# Debian 13: (\S+))/g, (_, _file, rest, other) => ` ${other}${rest}`);

const releases = [
  { name: "Debian 12", suite: "bookworm", node: "v18", commands: setUp },
  { name: "Debian 13", suite: "trixie", node: "v20", commands: forDebian13(setUp) },
];

describe.each(releases)("a node set up by the pages on $name", async ({ suite, node, commands }) => {
  const folder = await debianFolder(suite, packages);
  if (!folder.available) process.stderr.write(folder.message);

  test.skipIf(!folder.available)("receives mail, shows it to its user, and sends", async () => {
    if (!folder.available) return;
    const { server, machine, cert } = await newNode(folder.path, NODE);
    for (const { address, password } of [JAN, ANNA]) {
      writeFileSync(join(server.folder, "password"), password);
      await server.sh(`m25-mail call add-user --email ${address} --password-file password`);
    }
    const { sync_key: key } = fields(await server.sh(atServer));
    await machine.sh(`node --version | grep '^${node}'`);
    await machine.sh(toJoin, { input: `${key}\n` });
    await machine.sh(command(mailboxNode.dryRun));
    await machine.sh(commands, { folder: "/root/deploy" });
    await isCurrent(server);

    const freshKey = await server.sh(command(mailboxNode.freshKey));
    await machine.sh(command(mailboxNode.toJoinAgain), { input: freshKey });
    await machine.sh(command(mailboxNode.accept));

    const mail = mailClient(machine, NODE, cert);
    const fromOutside = { from: STRANGER, to: JAN.address, subject: "from outside" };
    expect(await mail.send("smtp", 25, fromOutside)).toMatchObject(TAKEN);
    await mail.arrives(JAN, "from outside");
    for (const [scheme, port] of [
      ["smtp", 587],
      ["smtps", 465],
    ] as const) {
      const subject = `sent through ${port}`;
      const message = { from: JAN.address, to: ANNA.address, subject, login: JAN };
      expect(await mail.send(scheme, port, message)).toMatchObject(TAKEN);
      await mail.arrives(ANNA, subject);
    }
    await machine.sh(`echo "root: ${JAN.address}" >/etc/aliases; newaliases
      printf 'Subject: from cron\\n\\ntext\\n' | sendmail root`);
    await mail.arrives(JAN, "from cron");

    // The page's other choice. The timer stops the service; the start waits for the end of one run.
    await machine.sh("systemctl disable m25-mail-node; systemctl enable --now m25-mail-node-once.timer");
    await machine.sh("systemctl start m25-mail-node-once; ! systemctl is-active m25-mail-node");
  });

  test.skipIf(!folder.available)("takes mail as an MX, and refuses unknown recipients", async () => {
    if (!folder.available) return;
    const { server, machine, cert } = await newNode(folder.path, MX);
    writeFileSync(join(server.folder, "password"), JAN.password);
    await server.sh(`m25-mail call add-user --email ${JAN.address} --password-file password`);
    const { sync_key: key } = fields(await server.sh(atServer.replace("pi-amsterdam", "mx2")));
    await server.sh(command(mxNode.setRole));
    await machine.sh(toJoin, { input: `${key}\n` });
    await machine.sh(command(mxNode.setUp), { folder: "/root/deploy" });
    await isCurrent(server);

    const mail = mailClient(machine, MX, cert);
    const message = { from: STRANGER, subject: "by way of the MX" };
    expect(await mail.send("smtp", 25, { ...message, to: JAN.address })).toMatchObject(TAKEN);
    const unknown = await mail.send("smtp", 25, { ...message, to: "nobody@example.nl" });
    expect(unknown).toMatchObject({ code: 55, stderr: expect.stringContaining("550") });
  });
});

/** Starts a server with a domain, and a fresh Debian that has a name and a certificate. */
async function newNode(base: string, name: string) {
  const ca = certificate(SERVER);
  const machine = await startFreshDebian(base, { NODE_EXTRA_CA_CERTS: "/etc/server-ca.pem" });
  onTestFinished(machine.stop);
  const server = await startServer(machine, ca);
  await server.sh("m25-mail call add-domain --domain example.nl");
  // The page asks for these two copies.
  await machine.copyIn(join(CHECKOUT, "dist/m25-mail-node.mjs"), "root/m25-mail-node.mjs");
  await machine.copyIn(DEPLOY, "root/deploy");
  await machine.copyIn(ca.cert, "etc/server-ca.pem");
  await machine.sh(`echo "127.0.0.1 ${SERVER} ${name}" >>/etc/hosts; mkdir /etc/ssl/m25-mail`);
  const { cert, key } = certificate(name);
  await machine.copyIn(cert, "etc/ssl/m25-mail/fullchain.pem");
  await machine.copyIn(key, "etc/ssl/m25-mail/privkey.pem");
  return { server, machine, cert };
}

function isCurrent(server: { sh(script: string): Promise<string> }): Promise<void> {
  return until("the server shows the node as current", async () =>
    (await server.sh("m25-mail call list-nodes --json")).includes('"status":"current"'),
  );
}

/** Starts this checkout's server in the machine's network by its public name. `sh` is a shell beside it. */
async function startServer(machine: FreshDebian, { cert, key }: { cert: string; key: string }) {
  const folder = temporaryFolder();
  mkdirSync(join(folder, "bin"));
  symlinkSync(join(DEPLOY, "m25-mail"), join(folder, "bin/m25-mail"));
  const [command, ...args] = [...machine.onNetwork, join(folder, "bin/m25-mail"), "serve"] as const;
  const address = ["--port", "443", "--public-url", `https://${SERVER}`];
  const database = join(folder, "m25-mail.db");
  const running = startM25mail(
    [...args, ...address, "--db", database, "--tls-cert", cert, "--tls-key", key],
    { command: [command] },
  );
  await running.says(/serves https/);
  const environment = [`M25_MAIL_DB=${database}`, `PATH=${join(folder, "bin")}:${process.env.PATH}`];
  return {
    folder,
    sh: (script: string) => mustRun("env", "-C", folder, ...environment, "sh", "-ec", script),
  };
}

/** Parses the output of `m25-mail call`, one field a line. */
function fields(output: string): Record<string, string> {
  return Object.fromEntries(output.split("\n").map((line) => line.split(/: (.*)/)));
}

interface Mail {
  readonly from: string;
  readonly to: string;
  readonly subject: string;
  readonly login?: typeof JAN;
}

/** curl as a mail program that trusts only the node's certificate and requires TLS. */
function mailClient({ onNetwork }: FreshDebian, name: string, cert: string) {
  const [program, ...enter] = onNetwork;
  const folder = temporaryFolder();
  const curl = (...args: readonly string[]) =>
    run(
      program,
      ...enter,
      "curl",
      "-sS",
      "--ssl-reqd",
      "--cacert",
      cert,
      "--connect-to",
      "::127.0.0.1:",
      ...args,
    );
  const loginOf = ({ address, password }: typeof JAN) => {
    const file = join(folder, "login");
    writeFileSync(file, `user = "${address}:${password}"\n`);
    return ["--config", file];
  };
  return {
    send(scheme: string, port: number, { from, to, subject, login }: Mail): Promise<Finished> {
      const file = join(folder, "mail");
      writeFileSync(file, `From: <${from}>\r\nTo: <${to}>\r\nSubject: ${subject}\r\n\r\ntext\r\n`);
      const envelope = ["--mail-from", from, "--mail-rcpt", to, "--upload-file", file];
      const credentials = login === undefined ? [] : loginOf(login);
      return curl(...envelope, ...credentials, `${scheme}://${name}:${port}/client.test`);
    },
    async arrives(user: typeof JAN, subject: string): Promise<void> {
      const search = `imaps://${name}/INBOX?HEADER%20Subject%20%22${encodeURIComponent(subject)}%22`;
      await until(`"${subject}" in the mailbox of ${user.address}`, async () =>
        /^\* SEARCH \d/m.test((await curl(...loginOf(user), search)).stdout),
      );
    },
  };
}
