import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { inputSchema, outputSchema } from "../src/doors/schema.ts";
import { environmentName, flags } from "../src/program/config.ts";
import { tools } from "../tools/index.ts";
import { mcpName, type Tool } from "../tools/tool.ts";

/** Writes what derives from the registry into README.md; with --check, fails when it stands there otherwise. */
const readme = join(import.meta.dirname, "..", "README.md");
const sections: Record<string, string> = { tools: toolTable(), settings: settingsTable() };

const current = readFileSync(readme, "utf8");
let next = current;
for (const [name, text] of Object.entries(sections)) {
  const begin = `<!-- generated: ${name} -->\n`;
  const end = `<!-- end: ${name} -->`;
  const [before, rest] = splitOnce(next, begin);
  const [, after] = splitOnce(rest, end);
  next = `${before}${begin}${text}${end}${after}`;
}
if (process.argv.includes("--check")) {
  if (next !== current) {
    process.stderr.write("README.md is not what the registry says: run npm run gen\n");
    process.exitCode = 1;
  }
} else {
  writeFileSync(readme, next);
}

function splitOnce(text: string, separator: string): [string, string] {
  const at = text.indexOf(separator);
  if (at < 0) throw new Error(`README.md has no ${separator.trim()}`);
  return [text.slice(0, at), text.slice(at + separator.length)];
}

function toolTable(): string {
  const rows = tools.map((tool) => {
    const results = Object.keys(outputSchema(tool).properties).join(", ");
    const method = tool.effect === "read" ? "GET" : "POST";
    return `| \`${mcpName(tool)}\` | \`${method} /api/${tool.endpoint}\` | ${inputs(tool)} | ${results} |\n`;
  });
  return `| tool | REST | input | result |\n| --- | --- | --- | --- |\n${rows.join("")}`;
}

function inputs(tool: Tool): string {
  const { properties, required } = inputSchema(tool);
  const names = Object.keys(properties).map((name) => (required?.includes(name) ? `**${name}**` : name));
  return names.length === 0 ? "–" : names.join(", ");
}

function settingsTable(): string {
  const rows = Object.entries(flags).map(
    ([name, { placeholder, help }]) =>
      `| \`${`--${name} ${placeholder}`.trimEnd()}\` | \`${environmentName(name)}\` | ${help} |\n`,
  );
  return `| flag | environment | meaning |\n| --- | --- | --- |\n${rows.join("")}`;
}
