import { existsSync } from "node:fs";
import { expect, test } from "vitest";
import { setUp } from "../../../src/node/setup/setup.ts";
import { startServer } from "../../support/server.ts";
import { never } from "../joining.ts";
import { configFrom, DEBIANS, filesOf, MAIN_CF, newNode, withTools } from "./planted.ts";

withTools("a fresh machine becomes a node, and a second setup changes nothing", async () => {
  const server = await startServer();
  const { host, run } = await newNode(server, "pi");
  await run();
  expect(host.read(MAIN_CF)).toMatch(/^myhostname = mail\.example\.nl$/m);
  expect(host.read("/etc/postfix/master.cf")).toMatch(/^smtp inet .*^submissions inet /ms);
  expect(host.read("/etc/m25-mail/node.env")).toContain(`M25_MAIL_SERVER=${server.url}`);
  expect(host.started).toEqual(["m25-mail-node", "postfix again", "dovecot again"]);
  const before = filesOf(host);
  const certificate = host.read("/etc/ssl/m25-mail/fullchain.pem");
  host.started.length = 0;
  await run();
  expect(filesOf(host)).toEqual(before);
  expect(host.read("/etc/ssl/m25-mail/fullchain.pem")).toBe(certificate);
  expect(host.started).toEqual(["m25-mail-node", "postfix", "dovecot"]);
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
  expect(host.started).toEqual(["m25-mail-node", "postfix again", "dovecot"]);
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
