/** A resident node with the real server and Dovecot: fast changes, and no mass removal without consent. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type MailLab, mailDaemons, startMailLab } from "./lab.ts";
import { canLogin } from "./mailbox.ts";
import { run } from "./processes.ts";
import { SmtpClient } from "./smtp.ts";

const daemons = mailDaemons();
const dist = join(import.meta.dirname, "..", "..", "dist");
const PASSWORD = "correct horse battery";
const TEAM = Array.from({ length: 12 }, (_, index) => `user${index}@example.nl`);

describe.skipIf(!daemons.available)("a resident node", () => {
  let folder: string;
  let out: string;
  let url: string;
  let lab: MailLab;
  const children: ChildProcess[] = [];

  const program = (name: string, ...args: string[]) => run(process.execPath, join(dist, name), ...args);

  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), "m25-mail-resident-"));
    out = join(folder, "out");
    const mailRoot = join(folder, "mail");
    mkdirSync(mailRoot);
    const server = start(
      "m25-mail.js",
      "serve",
      "--port",
      "0",
      "--tools",
      "usage",
      "--db",
      join(folder, "m25-mail.db"),
    );
    url = await firstMatch(server, /serves (http:\S+)/);
    await api("add-domain", { domain: "example.nl" });
    for (const email of TEAM) await api("add-user", { email, password: PASSWORD });
    const { sync_key } = await api("add-node", { name: "pi" });
    writeFileSync(join(folder, "pasted"), `${sync_key}\n`);
    const join_ = spawn(process.execPath, [
      join(dist, "m25-mail-node.mjs"),
      "join",
      ...["--server", url, "--key-file", join(folder, "key")],
    ]);
    join_.stdin.end(`${sync_key}\n`);
    expect(await once(join_, "exit")).toEqual([0, null]);
    const flags = ["--server", url, "--key-file", join(folder, "key"), "--out", out, "--mail-root", mailRoot];
    expect(await program("m25-mail-node.mjs", "once", ...flags)).toMatchObject({ code: 0 });
    lab = await startMailLab({ out, mailRoot });
    start(
      "m25-mail-node.mjs",
      "run",
      ...flags,
      "--dovecot-config",
      lab.dovecotConfig,
      "--logins",
      lab.logins,
    );
  });

  afterAll(async () => {
    for (const child of children.filter(({ exitCode }) => exitCode === null)) {
      child.kill("SIGTERM");
      await once(child, "exit");
    }
    await lab?.stop();
    rmSync(folder, { recursive: true, force: true });
  });

  function start(name: string, ...args: string[]): ChildProcess {
    const child = spawn(process.execPath, [join(dist, name), ...args], {
      stdio: ["ignore", "ignore", "pipe"],
    });
    children.push(child);
    return child;
  }

  /** Returns the first group of the first match in a program's output. */
  function firstMatch({ stderr }: ChildProcess, pattern: RegExp): Promise<string> {
    if (stderr === null) throw new Error("no stderr");
    const lines = createInterface({ input: stderr });
    return new Promise((resolve) => {
      lines.on("line", (line) => {
        const found = pattern.exec(line)?.[1];
        if (found !== undefined) resolve(found);
      });
    });
  }

  async function api(endpoint: string, body?: object): Promise<Record<string, unknown>> {
    const token = readFileSync(join(folder, "first-token"), "utf8").trim();
    const answer = await fetch(`${url}/api/${endpoint}`, {
      method: body === undefined ? "GET" : "POST",
      headers: { authorization: `Bearer ${token}`, "content-type": "application/json" },
      ...(body !== undefined && { body: JSON.stringify(body) }),
    });
    expect(answer.status).toBe(200);
    return (await answer.json()) as Record<string, unknown>;
  }

  const logsIn = (address: string) => canLogin(lab, { address, password: PASSWORD });
  const node = async () => ((await api("list-nodes")).nodes as Record<string, unknown>[])[0];

  test("a new mailbox accepts log-ins seconds after the call, without a manual poll", async () => {
    await api("add-user", { email: "new@example.nl", password: PASSWORD });
    await expect.poll(() => logsIn("new@example.nl")).toBe(true);
    await expect.poll(node).toMatchObject({ status: "current" });
  });

  test("the sizes of mailboxes are told soon after the start", async () => {
    const usage = () => api("list-usage?domain=example.nl&limit=1");
    await expect.poll(usage).toMatchObject({ mailboxes: [{ used_mb: 0, messages: 0 }] });
  });

  test("a mass removal does not empty the node until somebody at a shell accepts it", async () => {
    for (const email of TEAM) await api("remove-user", { email, hard_delete: true });
    await api("add-user", { email: "meanwhile@example.nl", password: PASSWORD });
    await expect.poll(() => logsIn("meanwhile@example.nl")).toBe(true);
    await expect.poll(node).toMatchObject({
      status: "failing",
      reason: "removals_withheld",
      hint: expect.stringContaining("node accept"),
    });
    // Nobody of them can log in any more. The first few go one by one, within what a node lets go; mail for most still comes.
    expect(await Promise.all(TEAM.map(logsIn))).not.toContain(true);
    const left = async () => {
      const smtp = await SmtpClient.open({ port: lab.ports.smtp });
      await smtp.ehlo();
      await smtp.mailFrom("stranger@elsewhere.test");
      let accepted = 0;
      for (const email of TEAM) if ((await smtp.rcptTo(email)).code === 250) accepted += 1;
      smtp.close();
      return accepted;
    };
    expect(await left()).toBeGreaterThanOrEqual(TEAM.length - 5);
    expect(await program("m25-mail-node.mjs", "status", "--out", out)).toMatchObject({ code: 65 });

    const accepted = await program(
      "m25-mail.js",
      "node",
      "accept",
      "pi",
      "--db",
      join(folder, "m25-mail.db"),
    );
    expect(accepted).toMatchObject({ code: 0 });
    // No change wakes the node: the acceptance does.
    await expect.poll(left, { interval: 500 }).toBe(0);
    await expect.poll(node).toMatchObject({ status: "current", reason: null });
    expect(await logsIn("meanwhile@example.nl")).toBe(true);
    expect(await program("m25-mail-node.mjs", "status", "--out", out)).toMatchObject({ code: 0 });
  });

  test("the pasted key is void once the node has joined", async () => {
    const pasted = readFileSync(join(folder, "pasted"), "utf8").trim();
    const answer = await fetch(`${url}/sync/v1/maps`, { headers: { authorization: `Bearer ${pasted}` } });
    expect(answer.status).toBe(401);
  });
});
