import { existsSync } from "node:fs";
import { dirname, join, relative } from "node:path";
import { describe, expect, test } from "vitest";
import { usages } from "../../src/doors/cli/usage.ts";
import { commandNames } from "../../src/node/flags.ts";
import { allTools } from "../../tools/sets/index.ts";
import { anchorsOf, pages, ROOT, textOf } from "./pages.ts";

/** Returns the targets of a page's links and pictures, without links to other sites. */
function linksOf(page: string): string[] {
  const text = textOf(page).replaceAll(/^```.*?^```$/gms, "");
  const links = [...text.matchAll(/\]\(([^)\s]+)\)/g)].map(([, target = ""]) => target);
  return links.filter((target) => !/^[a-z]+:/.test(target));
}

function targetOf(page: string, link: string): { file: string; anchor: string | undefined } {
  const [path = "", anchor] = link.split("#");
  return { file: path === "" ? page : relative(ROOT, join(ROOT, dirname(page), path)), anchor };
}

test.each(pages)("every link in %s leads to a file and a heading that exist", (page) => {
  const broken = linksOf(page).filter((link) => {
    const { file, anchor } = targetOf(page, link);
    if (!existsSync(join(ROOT, file))) return true;
    return anchor !== undefined && !anchorsOf(file).includes(anchor);
  });
  expect(broken).toEqual([]);
});

test("the tests that the security page names exist", () => {
  const rows = [...textOf("docs/security.md").matchAll(/^\|.*\| ([^|]+) \|$/gm)].map(
    ([, names = ""]) => names,
  );
  const named = rows.slice(2).flatMap((names) => names.split(", "));
  expect(named.length).toBeGreaterThan(13);
  const isThere = (name: string) =>
    ["test", "sweep"].some((kind) => existsSync(join(ROOT, "test", `${name}.${kind}.ts`)));
  expect(named.filter((name) => !isThere(name))).toEqual([]);
});

test("the tests that the table of a node's failures names exist, each by its name", () => {
  const rows = [...textOf("docs/decisions/replica.md").matchAll(/^\|.*\| (\S+): “(.*)” \|$/gm)];
  expect(rows.length).toBeGreaterThan(15);
  const missing = rows.filter(([, file = "", name = ""]) => {
    const path = join("test", file.endsWith(".sweep") ? `${file}.ts` : `${file}.test.ts`);
    return !textOf(path).includes(name);
  });
  expect(missing.map(([, file, name]) => `${file}: ${name}`)).toEqual([]);
});

describe("the pages of docs/", () => {
  const docs = pages.filter((page) => page.startsWith("docs/"));

  test("are all listed in the folder's index", () => {
    const unnamed = docs.filter((page) => {
      if (page === "docs/README.md") return false;
      const folder = page.endsWith("/README.md") ? dirname(dirname(page)) : dirname(page);
      const index = join(folder, "README.md");
      return !linksOf(index).some((link) => targetOf(index, link).file === page);
    });
    expect(unnamed).toEqual([]);
  });

  test.each(docs)("%s has fewer than 250 lines", (page) => {
    expect(textOf(page).split("\n").length).toBeLessThan(250);
  });

  test("README has at most 150 lines", () => {
    expect(textOf("README.md").trimEnd().split("\n").length).toBeLessThanOrEqual(150);
  });

  test("commands stand in blocks that a test can find", () => {
    // bench/ lists its scripts, which take minutes each.
    const readers = pages.filter((page) => !page.startsWith("bench/"));
    const indented = readers.filter((page) =>
      /^ {4}\S/m.test(textOf(page).replaceAll(/^```.*?^```$/gms, "")),
    );
    expect(indented).toEqual([]);
  });

  test("blocks of commands have the language sh, and other blocks their own", () => {
    const languages = pages.flatMap((page) => [...textOf(page).matchAll(/^```(\w*)\n.*?^```$/gms)]);
    const kinds = new Set(languages.map(([, language]) => language));
    expect([...kinds].sort()).toEqual(["caddyfile", "ini", "json", "sh", "text", "yaml"]);
  });
});

test.each(pages)("the commands that %s names in its text exist", async (page) => {
  const calls = ["call ENDPOINT", ...(await allTools()).map(({ endpoint }) => `call ${endpoint}`)];
  const atServer = [...usages.map(({ name }) => name).filter((name) => name !== "call"), ...calls];
  const named = [...textOf(page).matchAll(/`m25-mail(-node)? ([a-z][^`]*)`/g)];
  const unknown = named.filter(([, node, words = ""]) => {
    const known = node === undefined ? atServer : commandNames;
    return words !== "call" && !known.some((name) => `${words} `.startsWith(`${name} `));
  });
  expect(unknown.map(([text]) => text)).toEqual([]);
});
