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

test("the commands that give an assistant one domain do what the README says", async () => {
  const folder = temporaryFolder();
  const database = join(folder, "m25-mail.db");
  const { url } = await serveProcess(database);
  await m25mail(["call", "add-domain", "--domain", "butcher.example", "--db", database]);
  writeFileSync(join(folder, "m25-mail"), `#!/bin/sh\nexec '${process.execPath}' '${ENTRY}' "$@"\n`, {
    mode: 0o755,
  });
  const env = environmentOf({ M25_MAIL_DB: database, PATH: `${folder}:${process.env.PATH}` });
  const shell = async (script: string) => {
    const text = script.replaceAll("http://127.0.0.1:8625", url);
    const options = { cwd: folder, env };
    return (await promisify(execFile)("bash", ["-euo", "pipefail", "-c", text], options)).stdout;
  };
  const [create = "", use = "", revoke = ""] = commandsOf("Give an assistant only one domain");

  expect(await shell(create)).toMatch(/bakery +read,write +bakery\.example /);
  const used = await shell(use);
  expect(used).toContain('"domain":"bakery.example"');
  expect(used).toContain('"revision":null');
  expect(used).toContain('"total":1');
  expect(used).not.toContain("butcher");
  const authorization = `Bearer ${readFileSync(join(folder, "bakery.token"), "utf8").trim()}`;
  const status = async () => (await http(`${url}/api/list-users`, { headers: { authorization } })).status;
  expect(await status()).toBe(200);
  await shell(revoke);
  expect(await status()).toBe(401);
});
