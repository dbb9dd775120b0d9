/** Sender rewriting of forwarded mail: the optional files of deploy/ with Debian's postsrsd, real Postfix, and a server elsewhere. */
import { type ChildProcess, spawn } from "node:child_process";
import { appendFileSync, existsSync, writeFileSync } from "node:fs";
import { connect, type Server } from "node:net";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { POSTSRSD } from "../support/needs.ts";
import { elsewhere, type Mail } from "./elsewhere.ts";
import { type MailLab, mailDaemons, startMailLab } from "./lab.ts";
import { arrives } from "./mailbox.ts";
import { ANNA, JAN, STRANGER } from "./people.ts";
import { onFreePorts } from "./ports.ts";
import { mustRun, until } from "./processes.ts";
import { TestNode } from "./replica.ts";
import { agePostfixFiles, shipped } from "./shipped.ts";
import { sendMail } from "./smtp.ts";

const BOSS = "boss@partner.test";
const GONE = "gone@partner.test";
const FORWARD = { alias: "forward@example.nl", targets: [BOSS], send_as: true };
const MOVED = { alias: "moved@example.nl", targets: [GONE], send_as: false };

describe.skipIf(!mailDaemons().available || !existsSync(POSTSRSD))("forwarded mail with postsrsd", () => {
  const received: Mail[] = [];
  let node: TestNode;
  let lab: MailLab;
  let outside: Server;
  let rewriter: ChildProcess;

  beforeAll(async () => {
    node = await TestNode.serving([JAN, ANNA], "mail", { aliases: [FORWARD, MOVED] });
    outside = elsewhere(received, GONE).listen(0, "127.0.0.1");
    lab = await startMailLab({ out: node.out, mailRoot: node.mailRoot });
    await onFreePorts(["srs", "forward", "reverse"], async ({ srs, forward, reverse }) => {
      const etc = lab.postfixConfigDir;
      const secret = join(etc, "postsrsd.secret");
      writeFileSync(secret, "a secret of this test\n");
      const ports = ["-f", `${forward}`, "-r", `${reverse}`];
      // It forks for each connection: a group of its own, to end all.
      const args = ["-s", secret, "-d", "mail.example.nl", ...ports];
      rewriter = spawn(POSTSRSD, args, { stdio: "ignore", detached: true });
      for (const port of [forward, reverse]) await until("postsrsd listens", () => answers(port));
      const dbpath = { "/var/lib/m25-mail-node": node.out };
      writeFileSync(join(etc, "m25-own-senders.cf"), shipped("m25-own-senders.cf", dbpath));
      appendFileSync(
        join(etc, "main.cf"),
        shipped("postfix-srs-main.cf", {
          "/etc/postfix/": `${etc}/`,
          ":10026": `:${srs}`,
          ":10002": `:${reverse}`,
        }),
      );
      const address = outside.address();
      const elsewherePort = typeof address === "object" ? address?.port : undefined;
      const world = `smtp:[127.0.0.1]:${elsewherePort}`;
      appendFileSync(
        join(etc, "master.cf"),
        shipped("postfix-srs-master.cf", {
          "127.0.0.1:10026": `127.0.0.1:${srs}`,
          "content_filter=smtp:": `content_filter=${world}`,
          ":10001": `:${forward}`,
        }),
      );
      await mustRun("postconf", "-c", etc, "-e", `default_transport=${world}`);
      agePostfixFiles(etc);
      await mustRun("/usr/sbin/postfix", "-c", etc, "reload");
      await until("the second way listens", () => answers(srs));
    });
  });

  afterAll(async () => {
    await lab?.stop();
    if (rewriter?.signalCode === null) endRewriter();
    outside?.close();
    await node?.remove();
  });

  const endRewriter = () => void process.kill(-(rewriter.pid ?? 0), "SIGTERM");

  const send = (from: string, to: string, login?: typeof JAN) =>
    sendMail(
      { port: login === undefined ? lab.ports.smtp : lab.ports.submission },
      {
        ...{ from, to, message: `From: <${from}>\nTo: <${to}>\nSubject: ${from} to ${to}\n\ntext\n` },
        ...(login && { login: { user: login.address, password: login.password } }),
      },
    );

  /** The mail that left for this address from now on. */
  async function leaves(to: string, action: () => ReturnType<typeof send>): Promise<Mail> {
    const before = received.length;
    expect((await action()).code).toBe(250);
    const found = () => received.slice(before).find((mail) => mail.to === to);
    await until(`mail leaves for ${to}`, () => found() !== undefined).catch((error) => {
      throw new Error(`${error}\n${lab.log()}`);
    });
    return found() as Mail;
  }

  const REWRITTEN = /^SRS0=[^@]+=elsewhere\.test=stranger@mail\.example\.nl$/;

  test("a stranger's mail that is forwarded has a sender of this node, and its headers stay", async () => {
    const mail = await leaves(BOSS, () => send(STRANGER, FORWARD.alias));
    expect(mail.from).toMatch(REWRITTEN);
    expect(mail.text).toContain(`From: <${STRANGER}>`);
    expect(mail.text).not.toContain(`From: <${mail.from}>`);
  });

  test("a bounce to the rewritten sender reaches the stranger, and a forged one is refused", async () => {
    const { from } = await leaves(BOSS, () => send(STRANGER, FORWARD.alias));
    const bounce = await leaves(STRANGER, () => send("", from));
    expect(bounce.from).toBe("");
    expect((await send("", from.replace("=stranger@", "=somebody@"))).code).toBe(550);
    expect((await send("", "SRS0=abcd=AB=partner.test=boss@mail.example.nl")).code).toBe(550);
  });

  test("a stranger hears of a forward that is refused elsewhere", async () => {
    const bounce = await leaves(STRANGER, () => send(STRANGER, MOVED.alias));
    expect(bounce).toMatchObject({ from: "", text: expect.stringContaining(GONE) });
  });

  test("mail to a mailbox here keeps its sender", async () => {
    expect((await send(STRANGER, ANNA.address)).code).toBe(250);
    await arrives(lab, ANNA, `${STRANGER} to ${ANNA.address}`);
    expect(lab.log()).not.toMatch(/from=<SRS0[^>]*>.*\n.*to=<anna@example\.nl>/);
    const home = await mustRun("grep", "-rh", "^Return-Path:", node.mailRoot);
    expect(home).toContain(`Return-Path: <${STRANGER}>`);
    expect(home).not.toContain("SRS0");
  });

  test("what users here send keeps its sender, also by way of a forward and as an alias", async () => {
    expect((await leaves(BOSS, () => send(JAN.address, BOSS, JAN))).from).toBe(JAN.address);
    expect((await leaves(BOSS, () => send(JAN.address, FORWARD.alias, JAN))).from).toBe(JAN.address);
  });

  test("a bounce that is forwarded keeps its empty sender", async () => {
    expect((await leaves(BOSS, () => send("", FORWARD.alias))).from).toBe("");
  });

  test("while postsrsd is away, forwards wait, and mail to mailboxes here arrives", async () => {
    endRewriter();
    await new Promise((resolve) => rewriter.once("exit", resolve));
    const before = received.length;
    expect((await send(STRANGER, FORWARD.alias)).code).toBe(250);
    expect((await send(STRANGER, JAN.address)).code).toBe(250);
    await arrives(lab, JAN, `${STRANGER} to ${JAN.address}`);
    // Postfix asks ten times, a second apart, before it gives a reason.
    expect(await lab.queue()).toContainEqual({ address: BOSS, reason: expect.any(String) });
    expect(received.slice(before)).toEqual([]);
  });
});

function answers(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, "127.0.0.1", () => {
      socket.destroy();
      resolve(true);
    }).on("error", () => resolve(false));
  });
}
