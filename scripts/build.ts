import { execFileSync } from "node:child_process";
import { chmodSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { isBuiltin } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { build, type Plugin } from "esbuild";
import packageJson from "../package.json" with { type: "json" };
import { nodePackageFile } from "../src/program/node-package.ts";
import { nodeBundle } from "./node-bundle.ts";
import { nodePackage } from "./node-package.ts";

rmSync("dist", { recursive: true, force: true });

/** Lets bundled CommonJS packages require Node's own modules: a chunk has no require. */
const nodeModules: Plugin = {
  name: "node-modules",
  setup(building) {
    building.onResolve({ filter: /^[a-z_:/]+$/ }, ({ path, kind }) =>
      kind === "require-call" && isBuiltin(path) ? { path, namespace: "node-module" } : undefined,
    );
    building.onLoad({ filter: /./, namespace: "node-module" }, ({ path }) => ({
      contents: `module.exports = process.getBuiltinModule(${JSON.stringify(path)});`,
    }));
  },
};

/** Builds the server in chunks, so that stdio never loads the HTTP stack. Native code and CommonJS stay in node_modules. */
const { metafile } = await build({
  entryPoints: { "m25-mail": "src/program/entry.ts" },
  outdir: "dist",
  bundle: true,
  splitting: true,
  minify: true, // without keepNames, which adds a call for each new closure
  format: "esm",
  platform: "node",
  target: "node22",
  // Its entry for Node is CommonJS, which a chunk cannot require from.
  alias: { yaml: "./node_modules/yaml/browser/index.js" },
  external: ["better-sqlite3", "bcrypt", "fastify", "oidc-provider", "pg", "pino", "prom-client"],
  banner: { js: "#!/usr/bin/env node" },
  plugins: [nodeModules],
  metafile: true,
  logLevel: "warning",
});
writeFileSync("dist/LICENSES.txt", bundledLicenses(Object.keys(metafile.inputs)));

/** Builds the node's program, and beside it the code of setup and check. A lone ESM file must end in .mjs. */
await build({
  entryPoints: { "m25-mail-node": "src/node-main.ts", "m25-mail-node-setup": "src/node-setup-main.ts" },
  outdir: "dist",
  outExtension: { ".js": ".mjs" },
  ...nodeBundle,
  define: { __M25_MAIL_VERSION__: JSON.stringify(packageJson.version) },
  banner: { js: "#!/usr/bin/env node" },
  logLevel: "warning",
});

for (const program of ["dist/m25-mail.js", "dist/m25-mail-node.mjs"]) chmodSync(program, 0o755);

/** Packs the node's program for Debian. The server offers this file to new nodes. */
writeFileSync(join("dist", nodePackageFile), nodePackage("dist"));

/** Starts the program once to fill dist/compile-cache, which saves 50 ms a start, also for users who cannot write it. */
const folder = mkdtempSync(join(tmpdir(), "m25-mail-build-"));
execFileSync(process.execPath, ["dist/m25-mail.js", "stdio", "--db", join(folder, "m25-mail.db")], {
  input: "",
  env: { ...process.env, NODE_COMPILE_CACHE: undefined, NODE_DISABLE_COMPILE_CACHE: undefined }, // the builder's environment may set either
  stdio: "pipe", // hides its log, unless it fails
});
rmSync(folder, { recursive: true });
for (const entry of readdirSync("dist/compile-cache", { recursive: true, withFileTypes: true })) {
  if (entry.isFile()) chmodSync(join(entry.parentPath, entry.name), 0o644);
}

/** The licences of the bundled packages: most require their text beside the code. */
function bundledLicenses(files: readonly string[]): string {
  const found = files.map((file) => /^node_modules\/(?:@[^/]+\/)?[^/]+/.exec(file)?.[0]);
  const folders = [...new Set(found.filter((folder) => folder !== undefined))].sort();
  return folders
    .map((folder) => {
      const { name, version, license } = JSON.parse(readFileSync(join(folder, "package.json"), "utf8"));
      const file = readdirSync(folder).find((entry) => /^licen[cs]e/i.test(entry));
      const text = file === undefined ? "" : readFileSync(join(folder, file), "utf8").trim();
      return `${name} ${version} (${license})\n\n${text}\n`;
    })
    .join(`\n${"-".repeat(72)}\n\n`);
}
