import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { cursorLink, vscodeLink } from "./install-links.ts";
import { referencePages, toolTable } from "./reference.ts";

/**
 * Generates docs/reference, parts of README.md and a line of package-lock.json; with --check, fails if they differ from
 * the code.
 */
const root = join(import.meta.dirname, "..");
const pages = Object.entries(await referencePages()).map(
  ([name, text]) => [`docs/reference/${name}`, text] as const,
);
const files = new Map<string, string>([
  [
    "README.md",
    withSection(withSection(read("README.md"), "tools", toolTable()), "install links", installLinks()),
  ],
  ...pages,
  ["package-lock.json", lockWithoutCompiling()],
]);

for (const [name, text] of files) {
  if (read(name) === text) continue;
  if (process.argv.includes("--check")) {
    process.stderr.write(`${name} is not what the code says: run npm run gen\n`);
    process.exitCode = 1;
  } else {
    writeFileSync(join(root, name), text);
  }
}

/** The file's text; "" for a page that does not exist yet. */
function read(name: string): string {
  try {
    return readFileSync(join(root, name), "utf8");
  } catch {
    return "";
  }
}

/** The page, with this text between the section's two comments. */
function withSection(page: string, name: string, text: string): string {
  const begin = `<!-- generated: ${name} -->\n`;
  const end = `<!-- end: ${name} -->`;
  const [before, rest] = splitOnce(page, begin);
  const [, after] = splitOnce(rest, end);
  return `${before}${begin}${text}${end}${after}`;
}

function splitOnce(text: string, separator: string): [string, string] {
  const at = text.indexOf(separator);
  if (at < 0) throw new Error(`README.md has no ${separator.trim()}`);
  return [text.slice(0, at), text.slice(at + separator.length)];
}

function installLinks(): string {
  return `[Install in Cursor](${cursorLink()}) · [Install in VS Code](${vscodeLink()})\n`;
}

/** better-sqlite3 opts out of node-gyp. npm drops this from the lock at each install, and npm 9 and 10 read it only there. */
function lockWithoutCompiling(): string {
  const lock = JSON.parse(read("package-lock.json"));
  lock.packages["node_modules/better-sqlite3"].gypfile = false;
  return `${JSON.stringify(lock, null, 2)}\n`;
}
