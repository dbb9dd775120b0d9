/** The commands of the pages, as they are written, at a server's shell. */

import { describe, expect, test } from "vitest";
import { startM25mail } from "../support/program.ts";
import { commandsIn, pages } from "./pages.ts";
import { copyMail, mailboxNode, mxNode, notRun, runElsewhere } from "./runs.ts";
import { shell } from "./shell.ts";

const elsewhere: readonly string[] = [
  ...Object.values(mailboxNode),
  ...Object.values(mxNode),
  copyMail,
  ...Object.keys(runElsewhere),
  ...Object.keys(notRun),
];
const all = pages.flatMap(commandsIn);

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
