/** The whole way to a mailbox: the real server, MCP client, node program, Postfix and Dovecot. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { Client, StreamableHTTPClientTransport } from "@modelcontextprotocol/client";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { Browser } from "../support/oauth.ts";
import { makeAppPassword, send, signIn } from "../support/owner.ts";
import { ImapClient } from "./imap.ts";
import { type MailLab, mailDaemons, startMailLab } from "./lab.ts";
import { arrives, canLogin, inbox } from "./mailbox.ts";
import { type Finished, run } from "./processes.ts";
import { SmtpClient, sendMail } from "./smtp.ts";

const daemons = mailDaemons();
const dist = join(import.meta.dirname, "..", "..", "dist");

const FIRST = "the first password";
const SECOND = "the second password";
const STRANGER = "stranger@elsewhere.test";

/** Results of the tools, as far as the tests read them. */
type Result = Record<string, unknown>;

describe.skipIf(!daemons.available)("from an assistant's sentence to a working mailbox", () => {
  let folder: string;
  let out: string;
  let server: ChildProcess;
  let url: string;
  let client: Client;
  let lab: MailLab;

  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), "m25-mail-e2e-"));
    out = join(folder, "out");
    const mailRoot = join(folder, "mail");
    mkdirSync(mailRoot);
    await startServer("0");
    client = new Client({ name: "assistant", version: "1" });
    await client.connect(
      new StreamableHTTPClientTransport(new URL(`${url}/mcp`), {
        requestInit: { headers: { authorization: `Bearer ${firstToken()}` } },
      }),
    );
    const { sync_key } = await tool("add_node", { name: "pi-1", ip_address: "127.0.0.1" });
    writeFileSync(join(folder, "key"), `${sync_key}\n`, { mode: 0o600 });
    await tool("add_domain", { domain: "example.nl" });
    // Postfix and Dovecot start with the files of a first poll, as on a node that boots.
    expect(await poll(mailRoot)).toMatchObject({ code: 0 });
    lab = await startMailLab({ out, mailRoot });
    sync = () => poll(mailRoot);
  });

  afterAll(async () => {
    await client?.close();
    await lab?.stop();
    await stopServer();
    rmSync(folder, { recursive: true, force: true });
  });

  /** Runs the node's program once. */
  let sync: () => Promise<Finished>;

  async function startServer(port: string): Promise<void> {
    server = spawn(
      process.execPath,
      [
        join(dist, "m25-mail.js"),
        "serve",
        ...["--port", port, "--db", join(folder, "server", "m25-mail.db"), "--tools", "people"],
        ...["--public-url", "http://localhost"],
      ],
      { stdio: ["ignore", "ignore", "pipe"] },
    );
    if (server.stderr === null) throw new Error("no stderr");
    for await (const line of createInterface({ input: server.stderr })) {
      const found = /serves (http:\S+)/.exec(line)?.[1];
      if (found === undefined) continue;
      url = found;
      break;
    }
  }

  async function stopServer(): Promise<void> {
    if (server.exitCode !== null) return;
    server.kill("SIGTERM");
    await once(server, "exit");
  }

  function firstToken(): string {
    return readFileSync(join(folder, "server", "first-token"), "utf8").trim();
  }

  function poll(mailRoot: string): Promise<Finished> {
    const args = ["--server", url, "--key-file", join(folder, "key"), "--out", out, "--mail-root", mailRoot];
    const daemons =
      lab === undefined
        ? []
        : ["--dovecot-config", lab.dovecotConfig, "--postfix-config", lab.postfixConfigDir];
    return run(process.execPath, join(dist, "m25-mail-node.mjs"), "once", ...args, ...daemons);
  }

  /** Calls a tool as an assistant does. A refusal fails the test. */
  async function tool(name: string, input: Result): Promise<Result> {
    const result = await client.callTool({ name: `m25_mail_${name}`, arguments: input });
    expect(result.content, JSON.stringify(result.content)).toBeDefined();
    if (result.isError) throw new Error(JSON.stringify(result.content));
    return result.structuredContent as Result;
  }

  /** Calls a tool, then updates the node. */
  async function live(name: string, input: Result): Promise<Result> {
    const result = await tool(name, input);
    expect(await sync()).toMatchObject({ code: 0 });
    return result;
  }

  const submit = (from: string, to: string, password: string, user = from) =>
    sendMail({ port: lab.ports.submission }, { from, to, login: { user, password } });
  const deliver = (to: string, message?: string) =>
    sendMail({ port: lab.ports.smtp }, { from: STRANGER, to, ...(message !== undefined && { message }) });
  const logsIn = (address: string, password: string) => canLogin(lab, { address, password });
  const mail = (subject: string) => `From: <${STRANGER}>\nSubject: ${subject}\n\ntext\n`;

  test("a new mailbox receives mail, accepts its owner's password only, and the node is current", async () => {
    expect((await deliver("jan@example.nl")).code).toBe(550);
    const { revision } = await live("add_user", { email: "jan@example.nl", password: FIRST });
    expect((await deliver("jan@example.nl", mail("welcome"))).code).toBe(250);
    await arrives(lab, { address: "jan@example.nl", password: FIRST }, "welcome");
    expect(await logsIn("jan@example.nl", SECOND)).toBe(false);
    expect(await tool("list_nodes", {})).toMatchObject({
      nodes: [{ name: "pi-1", applied_revision: revision, status: "current", reason: null }],
    });
  });

  test("mail to an address that never existed is refused with 550", async () => {
    const reply = await deliver("nobody@example.nl");
    expect(reply.lines.join()).toMatch(/^550 5\.1\.1 /);
  });

  test("its owner sends with AUTH, and only with his own address", async () => {
    await live("add_user", { email: "anna@example.nl", password: FIRST });
    expect((await submit("jan@example.nl", "anna@example.nl", FIRST)).code).toBe(250);
    expect((await submit("anna@example.nl", "jan@example.nl", FIRST, "jan@example.nl")).code).toBe(553);
    expect((await submit("jan@example.nl", "anna@example.nl", SECOND)).code).toBe(535);
  });

  test("nobody relays without AUTH, on either port", async () => {
    for (const port of [lab.ports.smtp, lab.ports.submission]) {
      const reply = await sendMail({ port }, { from: "jan@example.nl", to: STRANGER });
      expect(reply.code).toBeGreaterThanOrEqual(530);
    }
  });

  test("mail to a plus address reaches the mailbox", async () => {
    expect((await deliver("jan+shop@example.nl", mail("plus"))).code).toBe(250);
    await arrives(lab, { address: "jan@example.nl", password: FIRST }, "plus");
  });

  test("a password change ends open sessions, and the old password is refused from then on", async () => {
    const open = await ImapClient.open({ port: lab.ports.imap });
    await open.login("jan@example.nl", FIRST);
    await open.select();
    await open.idle();
    // A mail program that reconnects with its old password as fast as it can.
    let reconnected = 0;
    let stop = false;
    const loop = open.closed().then(async () => {
      while (!stop) if (await logsIn("jan@example.nl", FIRST)) reconnected += 1;
    });
    await live("update_password", { email: "jan@example.nl", password: SECOND });
    expect(await logsIn("jan@example.nl", SECOND)).toBe(true);
    expect(await logsIn("jan@example.nl", FIRST)).toBe(false);
    stop = true;
    await loop;
    expect(reconnected).toBe(0);
    expect((await submit("jan@example.nl", "anna@example.nl", FIRST)).code).toBe(535);
    expect((await submit("jan@example.nl", "anna@example.nl", SECOND)).code).toBe(250);
  });

  test("while a login is off its password is refused, its session ends and mail still arrives", async () => {
    const open = await ImapClient.open({ port: lab.ports.imap });
    await open.login("jan@example.nl", SECOND);
    await open.select();
    await open.idle();
    expect(await live("set_user", { email: "jan@example.nl", login: "off" })).toMatchObject({ login: "off" });
    await open.closed();
    expect(await logsIn("jan@example.nl", SECOND)).toBe(false);
    expect(await logsIn("jan@example.nl", "")).toBe(false);
    expect((await submit("jan@example.nl", "anna@example.nl", SECOND)).code).toBe(535);
    expect((await deliver("jan@example.nl", mail("while off"))).code).toBe(250);
    await live("set_user", { email: "jan@example.nl", login: "on" });
    await arrives(lab, { address: "jan@example.nl", password: SECOND }, "while off");
    expect((await submit("jan@example.nl", "anna@example.nl", SECOND)).code).toBe(250);
  });

  test("an app password reads and sends mail as its owner, until the owner ends it", async () => {
    const browser = new Browser(url);
    expect((await signIn(browser, "Jan@Example.NL", SECOND)).status).toBe(303);
    const phone = await makeAppPassword(browser, "Phone");
    const laptop = await makeAppPassword(browser, "Laptop");
    expect(await logsIn("jan@example.nl", phone)).toBe(false);
    expect(await sync()).toMatchObject({ code: 0 });
    for (const password of [phone, laptop, SECOND]) {
      expect(await logsIn("jan@example.nl", password)).toBe(true);
      expect((await submit("jan@example.nl", "anna@example.nl", password)).code).toBe(250);
      expect((await submit("anna@example.nl", "jan@example.nl", password, "jan@example.nl")).code).toBe(553);
    }
    expect(await logsIn("anna@example.nl", phone)).toBe(false);
    expect(await logsIn("jan@example.nl", phone.slice(0, -1))).toBe(false);
    const open = await ImapClient.open({ port: lab.ports.imap });
    await open.login("jan@example.nl", phone);
    await open.select();
    await open.idle();
    const smtp = await SmtpClient.open({ port: lab.ports.submission });
    await smtp.ehlo();
    expect((await smtp.authPlain("jan@example.nl", phone)).code).toBe(235);
    expect((await send(browser, "end-app-password", { name: "Phone" })).status).toBe(303);
    expect(await sync()).toMatchObject({ code: 0 });
    await open.closed();
    await smtp.mailFrom("jan@example.nl");
    expect((await smtp.rcptTo("anna@example.nl")).code).toBe(553);
    smtp.close();
    expect(await logsIn("jan@example.nl", phone)).toBe(false);
    expect((await submit("jan@example.nl", "anna@example.nl", phone)).code).toBe(535);
    expect(await logsIn("jan@example.nl", laptop)).toBe(true);
    await live("update_password", { email: "jan@example.nl", password: SECOND });
    expect(await logsIn("jan@example.nl", laptop)).toBe(false);
    expect(await logsIn("jan@example.nl", SECOND)).toBe(true);
    expect(lab.log()).not.toMatch(new RegExp(`${phone}|${laptop}`));
  });

  test("a full mailbox accepts no more mail", async () => {
    await live("add_user", { email: "small@example.nl", password: FIRST, quota_mb: 1 });
    const large = `${mail("large")}${"x".repeat(70)}\n`.repeat(1) + `${"y".repeat(72)}\n`.repeat(9_000);
    expect((await deliver("small@example.nl", large)).code).toBe(250);
    await arrives(lab, { address: "small@example.nl", password: FIRST }, "large");
    expect((await deliver("small@example.nl", large)).code).toBe(250);
    expect((await inbox(lab, { address: "small@example.nl", password: FIRST })).length).toBe(1);
  });

  test("a changed quota ends open sessions, and counts in the next one", async () => {
    const small = { email: "small@example.nl", password: FIRST };
    const open = await ImapClient.open({ port: lab.ports.imap });
    await open.login(small.email, small.password);
    await open.select();
    await open.idle();
    const database = join(folder, "server", "m25-mail.db");
    const changed = ["user", "set", small.email, "--quota-mb", "3", "--db", database];
    expect(await run(process.execPath, join(dist, "m25-mail.js"), ...changed)).toMatchObject({ code: 0 });
    expect(await sync()).toMatchObject({ code: 0 });
    await open.closed();
    const again = await ImapClient.open({ port: lab.ports.imap });
    await again.login(small.email, small.password);
    expect((await again.quota())?.limit).toBe(3 * 1024);
    again.close();
    expect((await deliver(small.email, mail("more room"))).code).toBe(250);
    await arrives(lab, { address: small.email, password: small.password }, "more room");
  });

  test("a renamed mailbox has its old mail, password and quota; sessions end, and the old address bounces", async () => {
    const [old, renamed] = ["small@example.nl", "k.klein@xn--bcher-kva.example"];
    await live("add_domain", { domain: "xn--bcher-kva.example" });
    const open = await ImapClient.open({ port: lab.ports.imap });
    await open.login(old, FIRST);
    await open.select();
    await open.idle();
    const rename = ["user", "rename", old, renamed, "--db", join(folder, "server", "m25-mail.db")];
    expect(await run(process.execPath, join(dist, "m25-mail.js"), ...rename)).toMatchObject({ code: 0 });
    expect(await sync()).toMatchObject({ code: 0 });
    await open.closed();
    expect(await logsIn(old, FIRST)).toBe(false);
    expect((await deliver(old)).lines.join()).toMatch(/^550 5\.1\.1 /);
    const owner = { address: renamed, password: FIRST };
    expect((await inbox(lab, owner)).length).toBe(2);
    expect((await lab.doveadm("quota", "get", "-u", renamed)).stdout).toMatch(/STORAGE +\d+ +3072 /);
    expect((await submit(renamed, "jan@example.nl", FIRST)).code).toBe(250);
    await live("add_user", { email: old, password: SECOND });
    expect(await inbox(lab, { address: old, password: SECOND })).toEqual([]);
    await live("remove_user", { email: renamed, hard_delete: true });
    await live("remove_domain", { domain: "xn--bcher-kva.example" });
  });

  test("after its removal a mailbox bounces, its password is refused and its open session ends", async () => {
    const open = await ImapClient.open({ port: lab.ports.imap });
    await open.login("jan@example.nl", SECOND);
    await open.select();
    await open.idle();
    expect(await live("remove_user", { email: "jan@example.nl" })).toMatchObject({ deleted: "soft" });
    await open.closed();
    expect(await logsIn("jan@example.nl", SECOND)).toBe(false);
    expect((await deliver("jan@example.nl")).lines.join()).toMatch(/^550 5\.1\.1 /);
  });

  test("a restored mailbox has its old mail, readable with the new password", async () => {
    expect(await live("add_user", { email: "jan@example.nl", password: FIRST })).toMatchObject({
      reactivated: true,
    });
    await arrives(lab, { address: "jan@example.nl", password: FIRST }, "welcome");
    expect(await logsIn("jan@example.nl", SECOND)).toBe(false);
  });

  test("after a hard delete the next owner of an address starts with an empty mailbox", async () => {
    await live("remove_user", { email: "jan@example.nl", hard_delete: true });
    expect((await deliver("jan@example.nl")).code).toBe(550);
    await live("add_user", { email: "jan@example.nl", password: SECOND });
    expect(await inbox(lab, { address: "jan@example.nl", password: SECOND })).toEqual([]);
    expect((await deliver("jan@example.nl", mail("fresh"))).code).toBe(250);
    await arrives(lab, { address: "jan@example.nl", password: SECOND }, "fresh");
  });

  test("the server's list of inactive mailboxes lets the node tell their folders from those of nobody", async () => {
    await live("remove_user", { email: "small@example.nl" });
    const database = join(folder, "server", "m25-mail.db");
    const list = await run(
      process.execPath,
      join(dist, "m25-mail.js"),
      "user",
      "list-inactive",
      "--db",
      database,
    );
    writeFileSync(join(folder, "inactive"), list.stdout);
    const mailRoot = join(folder, "mail");
    const args = ["orphans", "--out", out, "--mail-root", mailRoot, "--inactive", join(folder, "inactive")];
    const { code, stdout } = await run(process.execPath, join(dist, "m25-mail-node.mjs"), ...args);
    expect(code).toBe(0);
    const folders = stdout.trim().split("\n").sort();
    // The folders of the two mailboxes that were hard-deleted are nobody's. That of the present jan is not listed.
    const id = expect.stringMatching(/[0-9a-f]{16}$/);
    expect(folders).toEqual([id, id, expect.stringMatching(/^soft-deleted /)]);
    expect(folders.slice(0, 2).join()).toMatch(/^orphan .*,orphan /);
    expect(list.stdout).toContain(folders[2]?.split("/").at(-1));
  });

  test("mail to a removed domain is refused and to a new one accepted, without a reload", async () => {
    await live("add_domain", { domain: "xn--bcher-kva.example" });
    await live("add_user", { email: "info@bücher.example", password: FIRST });
    expect((await deliver("info@xn--bcher-kva.example", mail("idn"))).code).toBe(250);
    await arrives(lab, { address: "info@xn--bcher-kva.example", password: FIRST }, "idn");
    await live("remove_user", { email: "info@xn--bcher-kva.example" });
    await live("remove_domain", { domain: "bücher.example" });
    const reply = await deliver("info@xn--bcher-kva.example");
    expect(reply.code).toBeGreaterThanOrEqual(550);
  });

  test("a domain in the node's own main.cf keeps the node from being current, with a hint", async () => {
    const host = (
      await run("/usr/sbin/postconf", "-c", lab.postfixConfigDir, "-h", "myhostname")
    ).stdout.trim();
    await tool("add_domain", { domain: host });
    await tool("add_user", { email: `info@${host}`, password: FIRST });
    expect(await sync()).toMatchObject({ code: 75 });
    expect((await deliver(`info@${host}`)).code).toBe(550);
    expect(await tool("list_nodes", {})).toMatchObject({
      nodes: [
        { status: "failing", reason: "domain_elsewhere", hint: expect.stringContaining("mydestination") },
      ],
    });
    await tool("remove_user", { email: `info@${host}`, hard_delete: true });
    await live("remove_domain", { domain: host });
    expect(await tool("list_nodes", {})).toMatchObject({ nodes: [{ status: "current", reason: null }] });
  });

  test("no file of the node or the server contains a password", () => {
    const files = [out, join(folder, "server")].flatMap((path) =>
      readdirSync(path, { recursive: true, withFileTypes: true })
        .filter((entry) => entry.isFile())
        .map((entry) => join(entry.parentPath, entry.name)),
    );
    expect(files.length).toBeGreaterThan(8);
    const telling = files.filter((file) => [FIRST, SECOND].some((word) => readFileSync(file).includes(word)));
    expect(telling).toEqual([]);
  });

  test("a second poll with nothing changed writes nothing that Postfix reads", async () => {
    await sync();
    const before = statSync(join(out, "addresses.db-wal"));
    expect(await sync()).toMatchObject({ code: 0 });
    expect(statSync(join(out, "addresses.db-wal"))).toMatchObject({
      mtimeMs: before.mtimeMs,
      ino: before.ino,
    });
  });

  test("a node keeps serving while its server is down, and catches up later", async () => {
    const { port } = new URL(url);
    await stopServer();
    expect(await sync()).toMatchObject({ code: 75 });
    expect((await deliver("jan@example.nl", mail("meanwhile"))).code).toBe(250);
    await arrives(lab, { address: "jan@example.nl", password: SECOND }, "meanwhile");
    await startServer(port);
    await live("add_user", { email: "later@example.nl", password: FIRST });
    expect(await logsIn("later@example.nl", FIRST)).toBe(true);
  });
});
