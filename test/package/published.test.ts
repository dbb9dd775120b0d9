import { execFileSync } from "node:child_process";
import { globSync, readdirSync, readFileSync } from "node:fs";
import { isBuiltin } from "node:module";
import { join } from "node:path";
import { expect, test } from "vitest";
import * as z from "zod";
import packageJson from "../../package.json" with { type: "json" };
import { publishedServer } from "../../scripts/install-links.ts";
import serverJson from "../../server.json" with { type: "json" };

const root = join(import.meta.dirname, "../..");

const packed: { files: { path: string }[] }[] = JSON.parse(
  execFileSync("npm", ["pack", "--dry-run", "--json", "--ignore-scripts"], { cwd: root, encoding: "utf8" }),
);
const files = packed[0]?.files.map(({ path }) => path) ?? [];

test("the published package contains the programs, the files for operators, and nothing else", () => {
  const folders = new Set(files.map((path) => path.split("/").slice(0, -1).join("/")));
  expect([...folders].sort()).toEqual(["", "deploy", "dist"]);
  expect(files.filter((path) => !path.includes("/")).sort()).toEqual([
    "CHANGELOG.md",
    "LICENSE",
    "README.md",
    "package.json",
  ]);
  for (const program of Object.values(packageJson.bin)) expect(files).toContain(program);
  const deployed = readdirSync(join(root, "deploy")).filter((name) => name !== "m25-mail"); // only for a checkout
  expect(files.filter((path) => path.startsWith("deploy/"))).toHaveLength(deployed.length);
});

test("the package depends on exactly the packages that the program loads", () => {
  const program = globSync("dist/*.js", { cwd: root }).map((file) => readFileSync(join(root, file), "utf8"));
  const imported = program.flatMap((text) => [
    ...text.matchAll(/(?<!\.)\b(?:from|import) ?\(?"([a-z@][\w./-]*)"/g),
  ]);
  const packages = new Set(imported.map(([, name = ""]) => name).filter((name) => !isBuiltin(name)));
  expect([...packages].sort()).toEqual(Object.keys(packageJson.dependencies).sort());
});

test("the licences of bundled packages are shipped with the program", () => {
  const licenses = readFileSync(join(root, "dist/LICENSES.txt"), "utf8");
  for (const name of ["@modelcontextprotocol/server", "kysely", "zod"]) {
    expect(licenses).toMatch(new RegExp(`^${name} [\\d.]+ \\((MIT|Apache-2.0)\\)\n\n.*\\S`, "m"));
  }
});

test("package-lock.json contains no download address", () => {
  const lock = readFileSync(join(root, "package-lock.json"), "utf8");
  const resolved = [...lock.matchAll(/"resolved": "(.*)"/g)].map(([, place]) => place);
  expect(resolved).toEqual(["scripts/pinned-node"]);
});

/** The MCP registry's schema of 2025-12-11 for the fields in our server.json. Unknown fields are typing errors. */
const RegistryEntry = z.strictObject({
  $schema: z.literal("https://static.modelcontextprotocol.io/schemas/2025-12-11/server.schema.json"),
  name: z.string().regex(/^[a-zA-Z0-9.-]+\/[a-zA-Z0-9._-]+$/),
  title: z.string().min(1).max(100),
  description: z.string().min(1).max(100),
  version: z.string().regex(/^\d+\.\d+\.\d+$/),
  websiteUrl: z.url(),
  repository: z.strictObject({ url: z.url(), source: z.literal("github") }),
  packages: z.tuple([
    z.strictObject({
      registryType: z.literal("npm"),
      identifier: z.string(),
      version: z.string().regex(/^\d+\.\d+\.\d+$/),
      runtimeHint: z.literal("npx"),
      transport: z.strictObject({ type: z.literal("stdio") }),
      packageArguments: z.array(z.strictObject({ type: z.literal("positional"), value: z.string() })),
      environmentVariables: z.array(
        z.strictObject({
          name: z.string(),
          description: z.string(),
          format: z.enum(["string", "number", "boolean", "filepath"]),
          default: z.string().optional(),
        }),
      ),
    }),
  ]),
});

test("server.json is a valid registry entry for this package and version", () => {
  const { name, version, packages, repository } = RegistryEntry.parse(serverJson);
  const [npm] = packages;
  expect(name).toBe(packageJson.mcpName); // the registry checks ownership of the package by it
  expect(name).toMatch(/^io\.github\.m25\//);
  expect([version, npm.version]).toEqual([packageJson.version, packageJson.version]);
  expect(npm.identifier).toBe(packageJson.name);
  expect(`git+${repository.url}.git`).toBe(packageJson.repository.url);
  const started = [npm.runtimeHint, "-y", npm.identifier, ...npm.packageArguments.map(({ value }) => value)];
  expect(started).toEqual([publishedServer.command, ...publishedServer.args]);
});

/** Returns the links to this host on the pages. */
function linksTo(host: string): URL[] {
  const pages = ["README.md", ...globSync("docs/**/*.md", { cwd: root })];
  const links = pages.flatMap((page) => [
    ...readFileSync(join(root, page), "utf8").matchAll(/\]\((https:[^)\s]+)\)/g),
  ]);
  return links.map(([, link = ""]) => new URL(link)).filter((link) => link.host === host);
}

test("the install link for Cursor has the server's name, and its command in base64", () => {
  const [link, ...others] = linksTo("cursor.com").filter(({ pathname }) => pathname.endsWith("/install-mcp"));
  expect(others).toEqual([]);
  expect(link?.searchParams.get("name")).toBe("m25-mail");
  const config = Buffer.from(link?.searchParams.get("config") ?? "", "base64").toString();
  expect(JSON.parse(config)).toEqual({ command: "npx", args: ["-y", "m25-mail", "stdio"] });
});

test("the install link for VS Code has the server's name and command as JSON", () => {
  const [link, ...others] = linksTo("insiders.vscode.dev");
  expect(others).toEqual([]);
  expect(link?.pathname).toBe("/redirect/mcp/install");
  expect(link?.searchParams.get("name")).toBe("m25-mail");
  expect(JSON.parse(link?.searchParams.get("config") ?? "")).toEqual({
    command: "npx",
    args: ["-y", "m25-mail", "stdio"],
  });
});
