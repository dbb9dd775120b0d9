import { execFile } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";
import { expect, test } from "vitest";
import { http } from "../support/http.ts";
import { ENTRY, environmentOf, m25mail, serveProcess } from "../support/program.ts";
import { temporaryFolder } from "../support/store.ts";

const readme = readFileSync(join(import.meta.dirname, "../../README.md"), "utf8");

/** The indented commands of a section, block by block. */
function commandsOf(section: string): string[] {
  const text = readme.split(/^## /m).find((part) => part.startsWith(`${section}\n`)) ?? "";
  return [...text.matchAll(/(?:^ {4}.+\n)+/gm)].map(([block]) => block.replaceAll(/^ {4}/gm, ""));
}

/** A server, and a shell in which `m25-mail` and the README's address lead to it. */
async function shell() {
  const folder = temporaryFolder();
  const database = join(folder, "m25-mail.db");
  const { url } = await serveProcess(database);
  writeFileSync(join(folder, "m25-mail"), `#!/bin/sh\nexec '${process.execPath}' '${ENTRY}' "$@"\n`, {
    mode: 0o755,
  });
  const env = environmentOf({ M25_MAIL_DB: database, PATH: `${folder}:${process.env.PATH}` });
  const run = async (script: string) => {
    const text = script.replaceAll("http://127.0.0.1:8625", url);
    const options = { cwd: folder, env };
    return (await promisify(execFile)("bash", ["-euo", "pipefail", "-c", text], options)).stdout;
  };
  return { folder, database, url, run };
}

test("the commands that try REST and MCP by hand are answered as the README says", async () => {
  const { database, run } = await shell();
  await m25mail(["call", "add-domain", "--domain", "butcher.example", "--db", database]);
  const byHand = commandsOf("Connect an assistant").find((block) => block.startsWith("TOKEN="));
  const [domains = "", offered = ""] = (await run(byHand?.replaceAll(/^curl/gm, "echo; curl") ?? ""))
    .trim()
    .split("\n");
  expect(JSON.parse(domains)).toMatchObject({ total: 1 });
  expect(JSON.parse(offered).result.tools).toHaveLength(9);
});

test("the commands that give an assistant one domain do what the README says", async () => {
  const { folder, database, url, run } = await shell();
  await m25mail(["call", "add-domain", "--domain", "butcher.example", "--db", database]);
  const [create = "", use = "", revoke = ""] = commandsOf("Give an assistant only one domain");

  expect(await run(create)).toMatch(/bakery +read,write +bakery\.example /);
  const used = await run(use);
  expect(used).toContain('"domain":"bakery.example"');
  expect(used).toContain('"revision":null');
  expect(used).toContain('"total":1');
  expect(used).not.toContain("butcher");
  const authorization = `Bearer ${readFileSync(join(folder, "bakery.token"), "utf8").trim()}`;
  const status = async () => (await http(`${url}/api/list-users`, { headers: { authorization } })).status;
  expect(await status()).toBe(200);
  await run(revoke);
  expect(await status()).toBe(401);
});
