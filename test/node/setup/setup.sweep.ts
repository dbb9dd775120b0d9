import { existsSync } from "node:fs";
import { expect, test } from "vitest";
import { setUp } from "../../../src/node/setup/setup.ts";
import { startServer } from "../../support/server.ts";
import { never, standBefore } from "../joining.ts";
import { configFrom, DEBIANS, filesOf, MAIN_CF, newNode, OPTIONAL, withTools } from "./planted.ts";

const TIMER = "m25-mail-node-check.timer";
/** The first start compiles patterns, the second finds them. */
const FILTER = ["rspamd again", "rspamd again"];
const LEARN = "/etc/dovecot/m25-learn.conf";

withTools("a fresh machine becomes a node, and a second setup changes nothing", async () => {
  const server = await startServer();
  const { host, run } = await newNode(server, "pi");
  await run();
  expect(host.read(MAIN_CF)).toMatch(/^myhostname = mail\.example\.nl$/m);
  expect(host.read("/etc/postfix/master.cf")).toMatch(/^smtp inet .*^submissions inet /ms);
  expect(host.read("/etc/m25-mail/node.env")).toContain(`M25_MAIL_SERVER=${server.url}`);
  expect(host.started).toEqual(["m25-mail-node", "postfix again", "dovecot again", TIMER, ...FILTER]);
  const before = filesOf(host);
  const certificate = host.read("/etc/ssl/m25-mail/fullchain.pem");
  host.started.length = 0;
  await run();
  expect(filesOf(host)).toEqual(before);
  expect(host.read("/etc/ssl/m25-mail/fullchain.pem")).toBe(certificate);
  expect(host.started).toEqual(["m25-mail-node", "postfix", "dovecot", TIMER, "rspamd"]);
});

withTools("local settings survive each setup, and an upgrade's files come with them", async () => {
  const server = await startServer();
  const { host, run } = await newNode(server, "pi");
  host.write(
    "/etc/postfix/local.cf",
    "message_size_limit = 1000\nsmtp_reply_filter =\n  # none\n  inline:{}\n",
  );
  await run();
  const settings = host.read(MAIN_CF).match(/^message_size_limit.*$/gm);
  expect(settings).toEqual(["message_size_limit = 1000"]);
  const shipped = "/usr/share/m25-mail-node/postfix-main.cf";
  host.write(shipped, host.read(shipped).replace("biff = no", "biff = yes"));
  host.started.length = 0;
  await run();
  expect(host.read(MAIN_CF)).toMatch(/^biff = yes$/m);
  expect(host.read(MAIN_CF)).toMatch(/^message_size_limit = 1000$/m);
  expect(host.started).toEqual(["m25-mail-node", "postfix again", "dovecot", TIMER, "rspamd"]);
});

withTools(
  "a new node gets rspamd, which learns from moves of mail; each setup remembers the choice against it",
  async () => {
    const server = await startServer();
    const { host, run } = await newNode(server, "pi");
    await run();
    expect(host.installed).toEqual(new Set(["rspamd"]));
    expect(host.read(MAIN_CF)).toMatch(/^smtpd_milters = .*unix:rspamd\/milter\.sock/m);
    expect(host.read(LEARN)).toContain("imap_sieve");
    expect(host.read("/etc/rspamd/local.d/worker-controller.inc")).toContain("controller.sock");

    host.started.length = 0;
    await run("--without-filter");
    expect(host.read(MAIN_CF)).not.toContain("rspamd");
    expect(host.read(LEARN)).not.toContain("imap_sieve");
    expect(host.started).toEqual(["m25-mail-node", "postfix again", "dovecot again", TIMER, "not rspamd"]);
    const without = filesOf(host);
    await run();
    expect(filesOf(host)).toEqual(without);

    await run("--with-filter");
    expect(host.read(MAIN_CF)).toContain("rspamd");
    await run();
    expect(host.read(MAIN_CF)).toContain("rspamd");
    expect(() => run("--with-filter", "--without-filter")).toThrow("one of --with-filter");
  },
);

withTools("a node that an earlier version has set up gets rspamd only if it is told to", async () => {
  const server = await startServer();
  const { host, run } = await newNode(server, "pi");
  await run("--without-filter");
  const answers = "/var/lib/m25-mail-setup/answers";
  const { filter: _, ...earlier } = JSON.parse(host.read(answers));
  host.write(answers, JSON.stringify(earlier));
  await run();
  expect(host.installed).toEqual(new Set());
  expect(host.log.join("\n")).toContain("m25-mail-node setup --with-filter installs rspamd");

  host.write(answers, JSON.stringify(earlier));
  host.installed.add("rspamd");
  await run();
  expect(host.read(MAIN_CF)).toContain("rspamd");
});

withTools("an MX-only node filters, and has nobody who could teach it", async () => {
  const server = await startServer();
  const { host, run } = await newNode(server, "mx2");
  await run("--mailbox-node", "mail.example.nl");
  expect(host.read(MAIN_CF)).toContain("rspamd");
  expect(host.read("/etc/rspamd/local.d/worker-controller.inc")).toContain("enabled = false");
});

withTools(
  "a file that the operator changed by hand is shown, and replaced only on demand, with a copy",
  async () => {
    const server = await startServer();
    const { host, run } = await newNode(server, "pi");
    await run();
    host.write(MAIN_CF, `${host.read(MAIN_CF)}home_mailbox = Mail/\n`);
    const before = filesOf(host);
    await expect(run()).rejects.toThrow(/main\.cf: setup would overwrite .*--replace/);
    expect(host.printed.join("")).toContain("+home_mailbox = Mail/\n");
    expect(filesOf(host)).toEqual(before);
    await run("--replace");
    expect(host.read(MAIN_CF)).not.toContain("home_mailbox");
    expect(filesOf(host)[`postfix/main.cf.before-TIME`]).toBeDefined();
  },
);

withTools("somebody else's Postfix is shown, and nothing is changed, not even the key", async () => {
  const server = await startServer();
  const { host, run } = await newNode(server, "pi");
  host.write(MAIN_CF, DEBIANS.replace("relayhost =", "relayhost = [smarthost.example.nl]"));
  await expect(run()).rejects.toThrow("--replace");
  expect(host.printed.join("")).toContain("-relayhost = [smarthost.example.nl]\n");
  expect(existsSync(host.at("/etc/m25-mail"))).toBe(false);
  expect(host.started).toEqual([]);
});

withTools(
  "programs that a node may have are set up where they are installed, and never else",
  async (context) => {
    context.skip(process.geteuid?.() !== 0, "only root can give keys to opendkim");
    const server = await startServer();
    const { host, run } = await newNode(server, "pi");
    await run();
    const paths = ["/etc/opendkim.conf", "/etc/nftables.conf", "/etc/fail2ban/jail.d/m25-mail.conf"];
    expect(paths.filter((path) => existsSync(host.at(path)))).toEqual([]);
    expect(host.read(MAIN_CF)).toMatch(/^mua_milters =$/m);

    for (const program of OPTIONAL) host.installed.add(program);
    host.started.length = 0;
    await run();
    expect(paths.filter((path) => existsSync(host.at(path)))).toEqual(paths);
    expect(host.read(MAIN_CF).match(/^mua_milters = .*/gm)).toEqual([
      expect.stringContaining("unix:opendkim/opendkim.sock"),
    ]);
    expect(host.read("/etc/m25-mail/node.env")).toMatch(/^M25_MAIL_DKIM=\/var\/lib\/m25-mail-node\/dkim$/m);
    expect(host.read("/var/lib/m25-mail-node/dkim/SigningTable")).toBe("");
    expect(host.started).toEqual([
      "m25-mail-node again",
      ...["nftables", "fail2ban", "opendkim", "postfix"].map((service) => `${service} again`),
      "dovecot",
      TIMER,
      "rspamd",
    ]);
    const before = filesOf(host);
    await run();
    expect(filesOf(host)).toEqual(before);
  },
);

withTools(
  "somebody's own firewall stays, and signing that the operator has turned off stays off",
  async () => {
    const server = await startServer();
    const { host, run } = await newNode(server, "pi");
    for (const program of ["opendkim", "nft"]) host.installed.add(program);
    host.write("/etc/nftables.conf", "table ip mine {}\n");
    host.write("/etc/m25-mail/node.env", "# mine\nM25_MAIL_DKIM=");
    await run();
    expect(host.read("/etc/nftables.conf")).toBe("table ip mine {}\n");
    expect(host.log.join("\n")).toContain("/etc/nftables.conf is yours, and stays");
    expect(host.read("/etc/m25-mail/node.env")).toBe(
      `# mine\nM25_MAIL_DKIM=\nM25_MAIL_SERVER=${server.url}\n`,
    );
    expect(existsSync(host.at("/etc/opendkim.conf"))).toBe(false);
  },
);

withTools("an MX-only node gets no Dovecot and no submission, and remembers what it is", async () => {
  const server = await startServer();
  const { host, run } = await newNode(server, "mx2");
  await run("--mailbox-node", "mail.example.nl");
  await run();
  expect(host.read(MAIN_CF)).toMatch(/^mailbox_node = \[mail\.example\.nl\]:25$/m);
  expect(host.read("/etc/postfix/master.cf")).not.toContain("submission");
  expect(host.started).not.toContain("dovecot");
});

test("without a name or a way to a certificate, setup says which flag is missing", async () => {
  const server = await startServer();
  const { host } = await newNode(server, "pi");
  const given = configFrom(["setup", "--server", server.url]);
  await expect(setUp(host, given, never)).rejects.toThrow("--host-name is missing");
  await expect(setUp(host, { ...given, hostName: "mail" }, never)).rejects.toThrow("must be a name in DNS");
});

withTools("a server that is away holds up only the joining; the next setup goes on", async () => {
  const server = await startServer();
  let isAway = (_route: string) => true;
  const front = await standBefore(server, async (route) => (isAway(route) ? "hang up" : undefined));
  const { host, run } = await newNode({ ...server, url: front.url }, "pi");
  await expect(run()).rejects.toThrow();
  expect(host.read(MAIN_CF)).toBe(DEBIANS);
  expect(host.started).toEqual([]);
  isAway = () => host.started.includes("m25-mail-node"); // once it has joined
  await run();
  const first = ["m25-mail-node", "postfix again", "dovecot again", TIMER, ...FILTER];
  expect(host.started).toEqual(first);
  isAway = () => false;
  await run();
  expect(host.started.slice(first.length)).toEqual(["m25-mail-node", "postfix", "dovecot", TIMER, "rspamd"]);
});
