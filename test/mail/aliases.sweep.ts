/** Aliases of a real server in the Postfix and Dovecot of a fresh Debian, and the page's commands that rewrite a forward's sender. */
import { describe, expect, test } from "vitest";
import { DEAD, DOMAIN_ALIASES, FORWARD, kinds, PIET, refused, senders } from "./alias-kinds.ts";
import { newMailboxNode, releaseFolder, releases, rewriteSenders, type Server } from "./as-written.ts";
import type { FreshDebian } from "./fresh-debian.ts";
import { isCurrent } from "./fresh-server.ts";
import { type MailClient, TAKEN } from "./mail-client.ts";
import { ANNA, JAN, STRANGER } from "./people.ts";
import { until } from "./processes.ts";

const USERS = [JAN, ANNA, PIET];
const BOSS = "boss@partner.test";
const GONE = "gone@refuses.test";
const MOVED = "moved@example.nl";

/** Other mail servers: each takes all mail for its domain, or refuses each recipient. */
const others = [
  { domain: "partner.test", address: "127.0.0.2", flags: "" },
  { domain: "refuses.test", address: "127.0.0.3", flags: "-f RCPT" },
  { domain: "elsewhere.test", address: "127.0.0.4", flags: "" },
];

// aliases.test.ts and srs.test.ts run Debian 12's daemons.
const newest = releases.filter(({ suite }) => suite === "trixie");

describe.each(newest)("aliases on $name", async (release) => {
  const folder = await releaseFolder(release.suite);

  test.skipIf(!folder.available)("deliver as meant, and a forward has a sender of the node", async () => {
    if (!folder.available) return;
    const { server, machine, mail } = await newMailboxNode(folder.path, release, USERS);
    await startOthers(machine);
    await setAliases(server);
    const refuses = async (to: string, from = STRANGER) => {
      const outcome = await mail.send("smtp", 25, { from, to, subject: "refused" });
      expect(outcome, to).toMatchObject({ code: 55, stderr: expect.stringMatching(/55[04]/) });
    };
    /** Sends a mail, and returns its envelope and text at the other server. */
    const leaves = async (to: string, by: { from: string; at: string; login?: typeof JAN }) => {
      const subject = `to ${to} from ${by.from} ${Math.random()}`;
      const port = by.login === undefined ? 25 : 587;
      expect(await mail.send("smtp", port, { ...by, to, subject })).toMatchObject(TAKEN);
      return received(machine, by.at, subject);
    };

    await refuses(FORWARD);
    await server.sh(`m25-mail alias approve ${FORWARD} --target ${BOSS} --yes
      m25-mail alias approve ${MOVED} --target ${GONE} --yes`);
    await isCurrent(server);
    const plain = await leaves(FORWARD.replace("@", "+lists@"), { from: STRANGER, at: "partner.test" });
    expect(plain).toMatchObject({ from: STRANGER, to: BOSS });

    await deliversAll(machine, mail);
    for (const to of refused) await refuses(to);
    expect(await mail.has({ ...PIET, address: "piet@alias.example" }, "mail")).toBe(true);
    for (const [login, from, code] of senders) {
      const { stderr } = await mail.send("smtp", 587, { from, to: STRANGER, subject: "as", login });
      expect({ who: login.address, from, code: Number(/\b553\b/.exec(stderr)?.[0] ?? 250) }).toEqual({
        who: login.address,
        from,
        code,
      });
    }

    await machine.sh(rewriteSenders, { folder: "/root/deploy" });
    const { from, text } = await leaves(FORWARD, { from: STRANGER, at: "partner.test" });
    expect(from).toMatch(/^SRS0=[^@]+=elsewhere\.test=stranger@mail\.example\.nl$/);
    expect(text).toContain(`From: <${STRANGER}>`);
    expect(await leaves(from, { from: "", at: "elsewhere.test" })).toMatchObject({ from: "", to: STRANGER });
    await refuses(from.replace("=stranger@", "=somebody@"), "");
    const bounced = await leaves(MOVED, { from: STRANGER, at: "elsewhere.test" });
    expect(bounced).toMatchObject({ from: "", to: STRANGER, text: expect.stringContaining(GONE) });
    const own = await leaves(FORWARD, { from: JAN.address, at: "partner.test", login: JAN });
    expect(own.from).toBe(JAN.address);
    await deliversAll(machine, mail);

    await server.sh(`m25-mail call remove-alias --address sales@second.example
      m25-mail call set-domain-alias --domain alias.example --of none`);
    await isCurrent(server);
    for (const to of ["sales@second.example", "piet@alias.example"]) await refuses(to);
  });
});

/** Makes the aliases of alias-kinds.ts, and two forwards that wait. */
async function setAliases(server: Server): Promise<void> {
  await server.sh("echo 'a target that goes' | m25-mail call add-user --email goes@example.nl");
  const set = (address: string, targets: readonly string[], flags = "") =>
    server.sh(`m25-mail call set-alias --address ${address} --targets ${targets.join()} ${flags}`);
  await set("info@example.nl", [JAN.address, ANNA.address], "--send-as");
  await set("anna@example.nl", [JAN.address]);
  await set("@example.nl", [PIET.address]);
  await set("sales@second.example", [JAN.address], "--send-as");
  await set(DEAD, ["goes@example.nl"]);
  await set(FORWARD, [BOSS]);
  await set(MOVED, [GONE]);
  for (const [domain, of] of Object.entries(DOMAIN_ALIASES))
    await server.sh(`m25-mail call set-domain-alias --domain ${domain} --of ${of}`);
  await server.sh(`m25-mail alias postmaster ${JAN.address}
    m25-mail call remove-user --email goes@example.nl`);
  await isCurrent(server);
}

/** Sends a mail to each kind of alias: it reaches those it should, and nobody else. */
async function deliversAll(machine: FreshDebian, mail: MailClient): Promise<void> {
  const round = Math.random();
  const sent = kinds.map(([what, to, who], index) => ({ what, to, who, subject: `mail ${index}, ${round}` }));
  for (const { what, to, subject } of sent)
    expect(await mail.send("smtp", 25, { from: STRANGER, to, subject }), what).toMatchObject(TAKEN);
  for (const { who, subject } of sent) for (const user of who) await mail.arrives(user, subject);
  await until("the queue is empty", async () => (await machine.sh("postqueue -j")) === "");
  for (const { what, who, subject } of sent)
    for (const user of USERS.filter((other) => !who.includes(other)))
      expect(await mail.has(user, subject), `${what}, to ${user.address}`).toBe(false);
}

/** Starts the other servers beside the node's Postfix, which leaves their addresses to them. */
async function startOthers(machine: FreshDebian): Promise<void> {
  await machine.sh(`postconf -e inet_interfaces=127.0.0.1 smtp_dns_support_level=disabled
    systemctl stop postfix`);
  for (const { domain, address, flags } of others)
    await machine.sh(`echo '${address} ${domain}' >>/etc/hosts
      install -d -o nobody /srv/${domain}
      systemd-run --quiet smtp-sink -u nobody ${flags} -d '/srv/${domain}/%s.' ${address}:25 100`);
  for (const { address } of others)
    await until(
      `${address} listens`,
      async () => (await machine.sh(`bash -c '</dev/tcp/${address}/25' 2>&1 || echo not yet`)) === "",
    );
  await machine.sh("systemctl start postfix");
}

/** Waits for a mail at another server. Returns the envelope that smtp-sink writes above it, and all of its text. */
async function received(machine: FreshDebian, domain: string, subject: string) {
  let text: string | undefined;
  await until(`"${subject}" at ${domain}`, async () => {
    const all = await machine.sh(`find /srv/${domain} -type f -exec cat {} \\; -exec echo ---- \\;`);
    text = all.split("----\n").find((one) => one.includes(subject));
    return text !== undefined;
  });
  const argument = (name: string) => new RegExp(`^X-${name}-Args: <(.*?)>`, "m").exec(text ?? "")?.[1] ?? "";
  return { from: argument("Mail"), to: argument("Rcpt"), text };
}
