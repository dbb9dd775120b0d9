/** Checks README's transcript: an assistant's calls, the mail that arrives, and the picture of a terminal. */
import { execFile } from "node:child_process";
import { existsSync, mkdirSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { promisify } from "node:util";
import { Client, StreamableHTTPClientTransport } from "@modelcontextprotocol/client";
import { chromium } from "playwright-core";
import { describe, expect, onTestFinished, test } from "vitest";
import { mailDaemons, startMailLab } from "../mail/lab.ts";
import { arrives } from "../mail/mailbox.ts";
import { run } from "../mail/processes.ts";
import { sendMail } from "../mail/smtp.ts";
import { callTool } from "../support/clients.ts";
import { CHROMIUM } from "../support/needs.ts";
import { ENTRY, environmentOf, m25mail, serveProcess } from "../support/program.ts";
import { temporaryFolder } from "../support/store.ts";
import { ROOT, textOf } from "./pages.ts";

const PASSWORD = "a long passphrase for Jan";

/** The calls of README's transcript, each with the part of its answer that README shows. */
const calls = [
  ...textOf("README.md").matchAll(/^Assistant +m25_mail_(\w+) (\{.*\})\nServer +(\{.*\})$/gm),
].map(([, tool = "", input = "", answer = ""]) => ({
  tool: tool.replaceAll("_", "-"),
  input: JSON.parse(input.replace("…", PASSWORD)),
  answer: JSON.parse(answer),
}));

/** The commands in README's picture of a terminal. */
const typed = [
  "m25-mail node list",
  "m25-mail audit --since 1h",
  'doveadm fetch -u jan@example.nl "hdr.from hdr.subject body" mailbox INBOX',
];

describe.skipIf(!mailDaemons().available)("README's transcript", () => {
  test("matches the server's answers, and the mail is in the mailbox", async () => {
    const folder = temporaryFolder();
    const database = join(folder, "server", "m25-mail.db");
    mkdirSync(dirname(database));
    const { url } = await serveProcess(database);
    const shell = (...args: string[]) => m25mail([...args, "--json", "--db", database]);
    const { token } = JSON.parse((await shell("token", "create", "assistant")).stdout);
    await shell("call", "add-domain", "--domain", "example.nl");
    const added = await shell("call", "add-node", "--name", "pi-amsterdam");
    writeFileSync(join(folder, "key"), JSON.parse(added.stdout).sync_key, { mode: 0o600 });
    const out = join(folder, "out");
    const mailRoot = join(folder, "mail");
    mkdirSync(mailRoot);
    const flags = ["--server", url, "--key-file", join(folder, "key"), "--out", out, "--mail-root", mailRoot];
    const poll = (...more: string[]) =>
      run(process.execPath, join(ROOT, "dist/m25-mail-node.mjs"), "once", ...flags, ...more);
    expect(await poll()).toMatchObject({ code: 0 });
    const lab = await startMailLab({ out, mailRoot });
    onTestFinished(() => lab.stop());

    const client = new Client({ name: "chat", version: "1" });
    onTestFinished(() => client.close());
    const requestInit = { headers: { authorization: `Bearer ${token}` } };
    await client.connect(new StreamableHTTPClientTransport(new URL(`${url}/mcp`), { requestInit }));
    expect(calls.length).toBe(2);
    for (const { tool, input, answer } of calls) {
      expect((await callTool(client, tool, input)).structuredContent).toMatchObject(answer);
      const daemons = ["--dovecot-config", lab.dovecotConfig, "--postfix-config", lab.postfixConfigDir];
      expect(await poll(...daemons)).toMatchObject({ code: 0 });
    }
    const jan = { address: "jan@example.nl", password: PASSWORD };
    const message = "From: Anna <anna@elsewhere.test>\nSubject: Welcome, Jan\n\nYour first mail.\n";
    const sent = await sendMail(
      { port: lab.ports.smtp },
      { from: "anna@elsewhere.test", to: jan.address, message },
    );
    expect(sent.code).toBe(250);
    await arrives(lab, jan, "Welcome, Jan");

    const programs = {
      "m25-mail": `exec '${process.execPath}' '${ENTRY}' "$@"`,
      doveadm: `exec /usr/bin/doveadm -c '${lab.dovecotConfig}' "$@"`,
    };
    for (const [name, script] of Object.entries(programs))
      writeFileSync(join(folder, name), `#!/bin/sh\n${script}\n`, { mode: 0o755 });
    const env = environmentOf({ M25_MAIL_DB: database, PATH: `${folder}:${process.env.PATH}` });
    let terminal = "";
    for (const line of typed) {
      const { stdout } = await promisify(execFile)("bash", ["-euc", line], { env });
      terminal += `$ ${line}\n${stdout.trimEnd()}\n\n`;
    }
    expect(terminal).toContain("current");
    expect(terminal).toContain("Welcome, Jan");
    // M25_MAIL_SCREENSHOT=docs/terminal.png updates README's picture.
    const path = process.env.M25_MAIL_SCREENSHOT;
    if (path !== undefined) await picture(terminal.trimEnd(), path);
  });
});

async function picture(terminal: string, path: string): Promise<void> {
  expect(existsSync(CHROMIUM)).toBe(true);
  const browser = await chromium.launch({ executablePath: CHROMIUM, args: ["--no-sandbox"] });
  try {
    const page = await browser.newPage({ viewport: { width: 1180, height: 200 }, deviceScaleFactor: 2 });
    const style =
      "margin:0;padding:24px;background:#14171c;color:#e6e6e6;font:14px/1.45 monospace;display:inline-block";
    await page.setContent(`<body style="margin:0"><pre style="${style}"></pre></body>`);
    await page.locator("pre").evaluate((element, text) => {
      element.textContent = text;
    }, terminal);
    await page.locator("pre").screenshot({ path });
  } finally {
    await browser.close();
  }
}
