/** The pages that people read, and the commands in them. */
import { globSync, readFileSync } from "node:fs";
import { join } from "node:path";

export const ROOT = join(import.meta.dirname, "../..");

/** Paths from the project's root. */
export const pages: readonly string[] = globSync(
  ["*.md", "{docs,deploy,bench}/**/*.md", "test/clients/*.md"],
  {
    cwd: ROOT,
  },
).sort();

export function textOf(page: string): string {
  return readFileSync(join(ROOT, page), "utf8");
}

/** A block of commands, below the heading that is next before it. */
export interface Block {
  /** `docs/nodes.md#register-it`; with ` 2` for the second block below that heading. */
  readonly name: string;
  readonly script: string;
}

/** The blocks of commands in a page, in their order. */
export function commandsIn(page: string): Block[] {
  const blocks: Block[] = [];
  for (const section of sectionsOf(textOf(page))) {
    const scripts = [...section.text.matchAll(/^```sh\n(.*?)^```$/gms)].map(([, script = ""]) => script);
    for (const [at, script] of scripts.entries()) {
      blocks.push({ name: `${page}#${section.anchor}${at === 0 ? "" : ` ${at + 1}`}`, script });
    }
  }
  return blocks;
}

/** The script of this name. Throws where the page has moved on and the test has not. */
export function command(name: string): string {
  const [page = ""] = name.split("#");
  const block = commandsIn(page).find((one) => one.name === name);
  if (block === undefined) throw new Error(`there are no commands ${name}`);
  return block.script;
}

/** The anchors of a page's headings, as GitHub makes them. */
export function anchorsOf(page: string): string[] {
  return sectionsOf(textOf(page)).map(({ anchor }) => anchor);
}

function sectionsOf(text: string): { anchor: string; text: string }[] {
  const sections: { anchor: string; text: string }[] = [{ anchor: "", text: "" }];
  let fenced = false;
  for (const line of text.split("\n")) {
    if (line.startsWith("```")) fenced = !fenced;
    const heading = fenced ? undefined : /^#+ (.*)$/.exec(line)?.[1];
    if (heading !== undefined) sections.push({ anchor: anchorOf(heading), text: "" });
    const last = sections.at(-1);
    if (last !== undefined) last.text += `${line}\n`;
  }
  return sections;
}

function anchorOf(heading: string): string {
  return heading
    .toLowerCase()
    .replaceAll(/[^\p{L}\p{N}\s_-]/gu, "")
    .replaceAll(" ", "-");
}
