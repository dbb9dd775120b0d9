/** Runs `m25-mail setup` on a fresh Debian, which has a name in DNS and an authority for certificates. */
import { describe, expect, onTestFinished, test } from "vitest";
import { debianFolder, type Shown, startFreshDebian } from "./fresh-debian.ts";
import { ADDRESS, startAuthority, startDns } from "./fresh-network.ts";
import { copyCheckout, SERVER, SERVER_PACKAGES } from "./fresh-server.ts";

const PASSWORD = "a passphrase of the operator";
const SETUP = "/opt/m25-mail/deploy/m25-mail setup";
const QUESTIONS = {
  name: `[${SERVER}]: `,
  certificate: "[y/N] ",
  password: "Password: ",
  again: "The same again: ",
  domain: "(empty: later): ",
} as const;
const OK = { services: "ok", server: "ok", DNS: "ok", https: "ok", certificate: "ok" };

describe.each([
  { name: "Debian 12", suite: "bookworm" },
  { name: "Debian 13", suite: "trixie" },
])("setup of the server on $name", async ({ suite }) => {
  const folder = await debianFolder(suite, SERVER_PACKAGES);
  if (!folder.available) process.stderr.write(folder.message);

  test.skipIf(!folder.available)("asks, and makes a server behind nginx that answers by HTTPS", async () => {
    if (!folder.available) return;
    const { machine, acme } = await newMachine(folder.path);
    await machine.sh("systemctl disable --now caddy");
    const first = await machine.atTerminal(`${SETUP} ${acme}`, [
      [QUESTIONS.name, "\r"],
      [QUESTIONS.certificate, "y\r"],
      [QUESTIONS.password, `${PASSWORD}\r`],
      [QUESTIONS.again, `${PASSWORD}\r`],
      [QUESTIONS.domain, "example.nl\r"],
    ]);
    expect(rowsOf(first), first.said).toEqual(OK);
    expect(first.code).toBe(0);
  });
});

/** Starts a fresh Debian with the program, a name in DNS, and an authority. */
async function newMachine(base: string) {
  const machine = await startFreshDebian(base, { NODE_EXTRA_CA_CERTS: "/etc/authority.pem" });
  onTestFinished(machine.stop);
  const dns = await startDns(machine);
  onTestFinished(dns.stop);
  await copyCheckout(machine);
  const acme = `--acme-server ${await startAuthority(machine)}`;
  await machine.sh(`curl -sSf --retry 5 --retry-connrefused https://localhost:15000/roots/0 >/etc/authority.pem
    hostname ${SERVER}; echo '127.0.0.1 ${SERVER}' >>/etc/hosts`);
  await dns.serve(`${SERVER}. A ${ADDRESS}`);
  return { machine, dns, acme };
}

/** The state of each check by its name. */
function rowsOf({ said }: Shown): Record<string, string> {
  const rows = [...said.matchAll(/^(ok|not ok|unknown) +(\S+) {2,}/gm)];
  return Object.fromEntries(rows.map(([, state = "", check = ""]) => [check, state]));
}
