/** Runs the line that add-node gives on a fresh Debian, which has none of the node's packages yet. */
import { execFileSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, onTestFinished, test } from "vitest";
import { nodePackageFile } from "../../src/program/node-package.ts";
import { command } from "../docs/pages.ts";
import { packagedNode } from "../docs/runs.ts";
import { certificate } from "../support/certificate.ts";
import { temporaryFolder } from "../support/store.ts";
import { debianFolder, type FreshDebian, startFreshDebian } from "./fresh-debian.ts";
import { fields, isCurrent, SERVER, startServer } from "./fresh-server.ts";
import { mailClient, TAKEN } from "./mail-client.ts";
import { ANNA, JAN, STRANGER } from "./people.ts";
import { DEPLOY } from "./shipped.ts";

const NODE = "mail.example.nl";
const setup = "m25-mail-node setup";

const built = join(DEPLOY, "../dist", nodePackageFile);
/** The packages that apt has to fetch for the node's. */
const needed = execFileSync("dpkg-deb", ["--field", built, "Depends", "Recommends"], { encoding: "utf8" })
  .replaceAll(/^\w+:|\([^)]*\)/gm, "")
  .split(/[,\s]+/)
  .filter((name) => name !== "");

describe.each([
  { name: "Debian 12", suite: "bookworm" },
  { name: "Debian 13", suite: "trixie" },
])("the line for a new node on $name", async ({ suite }) => {
  const folder = await debianFolder(suite, ["ca-certificates", "wget"], needed);
  if (!folder.available) process.stderr.write(folder.message);

  test.skipIf(!folder.available)(
    "makes a node that works, stays as it is the second time, and keeps local settings over an upgrade",
    async () => {
      if (!folder.available) return;
      const { server, machine } = await newMachine(folder.path);
      const added = await server.sh("m25-mail call add-node --name pi");
      const { sync_key: key = "" } = fields(added);
      const [line = ""] = /^apt-get update .*$/m.exec(added) ?? [];
      const table = await machine.sh(`${line} --self-signed`, { input: `${key}\n` });
      expect(rowsOf(table)).toMatchObject({
        services: "ok",
        replica: "ok",
        "port 25": "ok",
        "port 465": "ok",
        "port 587": "ok",
        "port 143": "ok",
        "port 993": "ok",
        certificate: "ok",
        DNS: "unknown",
        blocklist: "unknown",
      });
      await isCurrent(server);
      await receivesAndSends(machine);

      const before = await stateOf(machine);
      await machine.sh(setup);
      expect(await stateOf(machine)).toBe(before);
      await machine.sh(
        "m25-mail-node status; m25-mail-node accept; m25-mail-node check --json | grep '\"ok\":true'",
      );
      await receivesAndSends(machine);

      await machine.sh("echo 'message_size_limit = 1000000' >/etc/postfix/local.cf");
      // As if an earlier version of the package had been there.
      await machine.sh("sed -i 's/^biff = no/biff = yes/' /usr/share/m25-mail-node/postfix-main.cf");
      await machine.sh(setup);
      expect(await machine.sh("postconf -h message_size_limit biff")).toBe("1000000\nyes\n");
      await machine.sh(command(packagedNode.upgrade));
      expect(await machine.sh("postconf -h message_size_limit biff")).toBe("1000000\nno\n");
      expect(await machine.sh("postconf -n 2>&1 | grep -c 'overriding earlier entry' || true")).toBe("0\n");

      await machine.sh("echo 'mailbox_transport = virtual' >>/etc/postfix/main.cf");
      const refused = await machine.sh(`${setup} || echo "exit $?"`);
      expect(refused).toContain("+mailbox_transport = virtual");
      expect(refused).toContain("exit 78");
      expect(await machine.sh("postconf -h mailbox_transport")).toBe("virtual\n");
      await machine.sh(`${setup} --replace`);
      expect(await machine.sh("postconf -h mailbox_transport")).toBe("\n");
      expect(await machine.sh("cat /etc/postfix/main.cf.before-*")).toContain("mailbox_transport = virtual");
    },
  );
});

/** Starts a fresh Debian that has a name, and a server in its network with a domain and two mailboxes. */
async function newMachine(base: string) {
  const ca = certificate(SERVER);
  const machine = await startFreshDebian(base, { NODE_EXTRA_CA_CERTS: "/etc/server-ca.pem" });
  onTestFinished(machine.stop);
  const server = await startServer(machine, ca);
  await server.sh("m25-mail call add-domain --domain example.nl");
  for (const { address, password } of [JAN, ANNA]) {
    writeFileSync(join(server.folder, "password"), password);
    await server.sh(`m25-mail call add-user --email ${address} --password-file password`);
  }
  await machine.copyIn(ca.cert, "etc/server-ca.pem");
  await machine.copyIn(ca.cert, "usr/local/share/ca-certificates/server.crt");
  await machine.sh(
    `update-ca-certificates; hostname ${NODE}; printf '127.0.0.1 %s\\n' ${NODE} ${SERVER} >>/etc/hosts`,
  );
  return { server, machine };
}

async function receivesAndSends(machine: FreshDebian): Promise<void> {
  const cert = join(temporaryFolder(), "cert.pem");
  writeFileSync(cert, await machine.sh("cat /etc/ssl/m25-mail/fullchain.pem"));
  const mail = mailClient(machine, NODE, cert);
  const subject = `mail ${Math.random()}`;
  expect(await mail.send("smtp", 25, { from: STRANGER, to: JAN.address, subject })).toMatchObject(TAKEN);
  await mail.arrives(JAN, subject);
  const sent = `sent ${Math.random()}`;
  const message = { from: JAN.address, to: ANNA.address, subject: sent, login: JAN };
  expect(await mail.send("smtps", 465, message)).toMatchObject(TAKEN);
  await mail.arrives(ANNA, sent);
}

/** The state of each check by its name. */
function rowsOf(table: string): Record<string, string> {
  const rows = [...table.matchAll(/^(ok|not ok|unknown) +(\S+(?: \S+)?) {2,}/gm)];
  return Object.fromEntries(rows.map(([, state = "", check = ""]) => [check, state]));
}

/** The configuration's sums, and since when each daemon runs. */
async function stateOf(machine: FreshDebian): Promise<string> {
  return await machine.sh(`find /etc /var/lib/m25-mail-setup -type f -exec sha256sum {} + | sort
    systemctl show --property ActiveEnterTimestamp m25-mail-node postfix dovecot`);
}
