/** The documentation pages and the commands in them. */
import { globSync, readFileSync } from "node:fs";
import { join } from "node:path";

export const ROOT = join(import.meta.dirname, "../..");

/** Paths relative to the project's root. */
export const pages: readonly string[] = globSync(
  ["*.md", "{docs,deploy,bench}/**/*.md", "test/clients/*.md"],
  {
    cwd: ROOT,
  },
).sort();

export function textOf(page: string): string {
  return readFileSync(join(ROOT, page), "utf8");
}

/** A block of commands below a heading. */
export interface Block {
  /** Page and heading, as in `docs/nodes.md#register-it`. The second block below a heading has ` 2`. */
  readonly name: string;
  readonly script: string;
}

/** Returns the blocks of commands in a page, in order. */
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

/** Returns the script of this name. Throws if the page no longer has it. */
export function command(name: string): string {
  const [page = ""] = name.split("#");
  const block = commandsIn(page).find((one) => one.name === name);
  if (block === undefined) throw new Error(`there are no commands ${name}`);
  return block.script;
}

/** Returns the anchors of a page's headings as GitHub generates them. */
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
