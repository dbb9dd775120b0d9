import { execFile } from "node:child_process";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";
import { ENTRY, environmentOf, serveProcess } from "../support/program.ts";
import { temporaryFolder } from "../support/store.ts";

/** Returns a server and a shell in which `m25-mail`, the pages' addresses and their folders lead to it. */
export async function shell() {
  const folder = temporaryFolder();
  const database = join(folder, "m25-mail.db");
  const { url } = await serveProcess(database);
  mkdirSync(join(folder, "backups"));
  writeFileSync(join(folder, "password"), "a passphrase for these pages\n");
  // A command that asks for a password reads it from standard input, unless the page pipes something into it.
  const program = `#!/bin/sh\n[ -p /dev/stdin ] || exec <'${join(folder, "password")}'\nexec '${process.execPath}' '${ENTRY}' "$@"\n`;
  writeFileSync(join(folder, "m25-mail"), program, { mode: 0o755 });
  const variables = { M25_MAIL_DB: database, M25_MAIL_PORT: "0", PATH: `${folder}:${process.env.PATH}` };
  const env = environmentOf(variables);
  const run = async (script: string) => {
    const text = script
      .replaceAll("http://127.0.0.1:8625", url)
      .replaceAll("/var/backups", join(folder, "backups"));
    // --norc: Node's standard input is a socket, which bash takes for rshd's and then reads bashrc.
    const running = promisify(execFile)("bash", ["--norc", "-euo", "pipefail", "-c", text], {
      cwd: folder,
      env,
    });
    running.child.stdin?.end();
    return (await running).stdout;
  };
  return { folder, database, url, run, variables };
}
