/** Runs the page's command for each panel on its sample. */
import { execFileSync, spawnSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { parse } from "yaml";
import { temporaryFolder } from "../support/store.ts";
import { command, ROOT } from "./pages.ts";
import { panels } from "./runs.ts";

const SAMPLES = join(ROOT, "test/samples/import");

/** Mailu's command needs jq. */
export const hasJq = spawnSync("jq", ["--version"]).status === 0;

interface Sample {
  /** Adapts the page's script to this machine's files. */
  readonly script: (script: string) => string;
  /** Programs of the panel, which print its sample. */
  readonly programs?: () => Readonly<Record<string, string>>;
}

const sampleText = (file: string) => readFileSync(join(SAMPLES, file), "utf8");

const samples: Readonly<Record<keyof typeof panels, Sample>> = {
  mailu: {
    script: (script) => script,
    programs: () => {
      const config = JSON.stringify(parse(sampleText("mailu/mail-config.yml")));
      return { docker: `cat <<'END'\n${config}\nEND` };
    },
  },
  modoboa: { script: (script) => script.replace("modoboa.csv", `${SAMPLES}/modoboa/import.csv`) },
  // SQLite answers the query here.
  iredmail: {
    script: (script) => script,
    programs: () => {
      const dump = sampleText("iredmail/vmail.mysql.sql");
      const columns = /INSERT INTO `mailbox` \((.*?)\)/.exec(dump)?.[1];
      const inserted = /^INSERT INTO `mailbox` .*?;$/ms.exec(dump)?.[0];
      const sql = `CREATE TABLE mailbox (${columns});\n${inserted}`;
      return {
        mariadb: `sqlite3 "$FOLDER/vmail" <<'END'\n${sql}\nEND\nsqlite3 -header -tabs "$FOLDER/vmail" "$3"`,
      };
    },
  },
  mailinabox: {
    script: (script) =>
      `sqlite3 users.sqlite < '${SAMPLES}/mailinabox/users.sql'\n${script.replace("/home/user-data/mail/users.sqlite", "users.sqlite")}`,
  },
  cpanel: { script: (script) => script.replace("cd /home", `cd '${SAMPLES}/cpanel/home'`) },
};

/** Returns the path of the accounts.csv that the page's command for this panel makes. */
export function accountsOf(panel: keyof typeof panels): string {
  const folder = temporaryFolder();
  const { script, programs = () => ({}) } = samples[panel];
  for (const [name, program] of Object.entries(programs()))
    writeFileSync(join(folder, name), `#!/bin/sh\n${program}\n`, { mode: 0o755 });
  const here = script(command(panels[panel])).replaceAll("~/", `${folder}/`);
  const env = { PATH: `${folder}:${process.env.PATH}`, FOLDER: folder };
  execFileSync("bash", ["--norc", "-euo", "pipefail", "-c", here], { cwd: folder, env });
  return join(folder, "accounts.csv");
}
