/** The commands of the pages, as they are written, at a server's shell. */
import { execFile } from "node:child_process";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";
import { describe, expect, test } from "vitest";
import { http } from "../support/http.ts";
import { ENTRY, environmentOf, m25mail, serveProcess, startM25mail } from "../support/program.ts";
import { temporaryFolder } from "../support/store.ts";
import { command, commandsIn, pages } from "./pages.ts";
import { copyMail, mailboxNode, mxNode, notRun, runElsewhere } from "./runs.ts";

const elsewhere: readonly string[] = [
  ...Object.values(mailboxNode),
  ...Object.values(mxNode),
  copyMail,
  ...Object.keys(runElsewhere),
  ...Object.keys(notRun),
];
const all = pages.flatMap(commandsIn);

/** A server, and a shell in which `m25-mail` and the pages' address and folders lead to it. */
async function shell() {
  const folder = temporaryFolder();
  const database = join(folder, "m25-mail.db");
  const { url } = await serveProcess(database);
  mkdirSync(join(folder, "backups"));
  writeFileSync(join(folder, "password"), "a passphrase for these pages\n");
  // What asks for a password reads it from standard input; a pipe of the page's own goes before.
  const program = `#!/bin/sh\n[ -p /dev/stdin ] || exec <'${join(folder, "password")}'\nexec '${process.execPath}' '${ENTRY}' "$@"\n`;
  writeFileSync(join(folder, "m25-mail"), program, { mode: 0o755 });
  const variables = { M25_MAIL_DB: database, M25_MAIL_PORT: "0", PATH: `${folder}:${process.env.PATH}` };
  const env = environmentOf(variables);
  const run = async (script: string) => {
    const text = script
      .replaceAll("http://127.0.0.1:8625", url)
      .replaceAll("/var/backups", join(folder, "backups"));
    const running = promisify(execFile)("bash", ["-euo", "pipefail", "-c", text], { cwd: folder, env });
    running.child.stdin?.end();
    return (await running).stdout;
  };
  return { folder, database, url, run, variables };
}

/** What must be there before a page's commands. */
const before: Readonly<Record<string, string>> = {
  "docs/nodes.md": `m25-mail call add-node --name pi-amsterdam; m25-mail call add-node --name mx2
    m25-mail call add-domain --domain example.nl; m25-mail call add-domain --domain example.org`,
  "docs/move.md": `printf 'jan@example.nl\\tone good passphrase\\nanna@example.nl\\tanother good one\\n' >accounts.tsv`,
};

const byPage = Map.groupBy(
  all.filter(({ name }) => !elsewhere.includes(name)),
  ({ name }) => name.split("#")[0] ?? "",
);

describe("the commands that stand in", () => {
  test.each([...byPage])("%s are taken, one after the other", async (page, blocks) => {
    const { run, variables } = await shell();
    await run(before[page] ?? "");
    for (const { name, script } of blocks) {
      const [, first = "", serve] = /^(.*?)^m25-mail (serve .*)$/ms.exec(script) ?? [undefined, script];
      await expect(run(first), name).resolves.toBeDefined();
      if (serve === undefined) continue;
      const server = startM25mail(serve.trim().split(" "), { environment: variables });
      await server.says(/serves http/);
    }
  });
});

test("the reasons why a test does not run commands as written are about commands that are there", () => {
  const names = all.map(({ name }) => name);
  expect(elsewhere.filter((name) => !names.includes(name))).toEqual([]);
});

test("the commands that try REST and MCP by hand are answered as the page says", async () => {
  const { database, run } = await shell();
  await m25mail(["call", "add-domain", "--domain", "butcher.example", "--db", database]);
  const byHand = command("docs/assistants.md#by-hand").replaceAll(/^curl/gm, "echo; curl");
  const [domains = "", offered = ""] = (await run(byHand)).trim().split("\n");
  expect(JSON.parse(domains)).toMatchObject({ total: 1 });
  expect(JSON.parse(offered).result.tools).toHaveLength(9);
});

test("the commands that give an assistant one domain do what the page says", async () => {
  const { folder, database, url, run } = await shell();
  await m25mail(["call", "add-domain", "--domain", "butcher.example", "--db", database]);
  const heading = "docs/tokens-and-domains.md#give-an-assistant-only-one-domain";

  expect(await run(command(heading))).toMatch(/bakery +read,write +bakery\.example /);
  const used = await run(command(`${heading} 2`));
  expect(used).toContain('"domain":"bakery.example"');
  expect(used).toContain('"revision":null');
  expect(used).toContain('"total":1');
  expect(used).not.toContain("butcher");
  const authorization = `Bearer ${readFileSync(join(folder, "bakery.token"), "utf8").trim()}`;
  const status = async () => (await http(`${url}/api/list-users`, { headers: { authorization } })).status;
  expect(await status()).toBe(200);
  await run(command(`${heading} 3`));
  expect(await status()).toBe(401);
});
