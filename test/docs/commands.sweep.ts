/** Runs the commands of the pages, as written, in a shell on a server. */

import { expect, test } from "vitest";
import { startM25mail } from "../support/program.ts";
import { commandsIn, pages, ROOT } from "./pages.ts";
import {
  forwards,
  mailboxNode,
  move,
  mxNode,
  notRun,
  packagedNode,
  panels,
  runElsewhere,
  server,
} from "./runs.ts";
import { shell } from "./shell.ts";

const SAMPLES = `${ROOT}/test/samples/import`;

const elsewhere: readonly string[] = [
  ...Object.values(mailboxNode),
  ...Object.values(mxNode),
  ...Object.values(packagedNode),
  ...Object.values(forwards),
  ...Object.values(server),
  ...Object.values(move),
  ...Object.values(panels),
  ...Object.keys(runElsewhere),
  ...Object.keys(notRun),
];
const all = pages.flatMap(commandsIn);

/** The state that a page's commands need. */
const before: Readonly<Record<string, string>> = {
  "docs/nodes.md": `m25-mail call add-node --name pi-amsterdam; m25-mail call add-node --name mx2
    m25-mail call add-domain --domain example.nl; m25-mail call add-domain --domain example.org`,
  "docs/aliases.md": `m25-mail call add-domain --domain example.nl
    echo one good passphrase | m25-mail call add-user --email jan@example.nl
    m25-mail call set-alias --address boss@example.nl --targets boss@partner.example`,
  "docs/people.md": `m25-mail call add-domain --domain example.nl
    echo one good passphrase | m25-mail call add-user --email jan@example.nl`,
  "docs/usage.md": "m25-mail call add-domain --domain example.nl",
  "docs/apply.md": `m25-mail call add-domain --domain example.nl
    echo one good passphrase | m25-mail call add-user --email jan@example.nl`,
  "docs/move.md": `cp '${SAMPLES}/postfixadmin/postfix.mysql.sql' postfix.sql
    printf 'email,password\\njan@example.nl,one good passphrase\\nanna@example.nl,\\n' >accounts.csv`,
};

const byPage = Map.groupBy(
  all.filter(({ name }) => !elsewhere.includes(name)),
  ({ name }) => name.split("#")[0] ?? "",
);

/** Runs a page's blocks in a shell of its own; a `serve` in them goes on until the test ends. */
async function runAll(page: string, blocks: ReadonlyArray<{ name: string; script: string }>): Promise<void> {
  const { run, variables } = await shell();
  await run(before[page] ?? "");
  for (const { name, script } of blocks) {
    const [, first = "", serve] = /^(.*?)^m25-mail (serve .*)$/ms.exec(script) ?? [undefined, script];
    await expect(run(first), name).resolves.toBeDefined();
    if (serve === undefined) continue;
    const server = startM25mail(serve.trim().split(" "), { environment: variables });
    await server.says(/serves http/);
  }
}

test("the commands of each page all work, one after the other", async () => {
  await Promise.all([...byPage].map(([page, blocks]) => runAll(page, blocks)));
});

test("the list of commands that tests do not run as written names only blocks that exist", () => {
  const names = all.map(({ name }) => name);
  expect(elsewhere.filter((name) => !names.includes(name))).toEqual([]);
});
