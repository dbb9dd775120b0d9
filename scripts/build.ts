import { execFileSync } from "node:child_process";
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { isBuiltin } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { build, type Plugin } from "esbuild";
import packageJson from "../package.json" with { type: "json" };
import { nodePackageFile } from "../src/program/node-package.ts";
import { nodeBundle } from "./node-bundle.ts";
import { nodePackage } from "./node-package.ts";

/** The folder beside dist where a build is made: dist changes only when all of it works. */
const NEXT = "dist-next";
/** The files of a build, for the build after the next. */
const LIST = "build.json";
/** The files that people start. They go last into dist: the other files' names have a hash, or are read by these only. */
const PROGRAMS = ["m25-mail-node-setup.mjs", "m25-mail-node.mjs", "m25-mail.js"];

rmSync(NEXT, { recursive: true, force: true });

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
  outdir: NEXT,
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
writeFileSync(join(NEXT, "LICENSES.txt"), bundledLicenses(Object.keys(metafile.inputs)));

/** Builds the node's program, and beside it the code of setup and check. A lone ESM file must end in .mjs. */
await build({
  entryPoints: { "m25-mail-node": "src/node-main.ts", "m25-mail-node-setup": "src/node-setup-main.ts" },
  outdir: NEXT,
  outExtension: { ".js": ".mjs" },
  ...nodeBundle,
  define: { __M25_MAIL_VERSION__: JSON.stringify(packageJson.version) },
  banner: { js: "#!/usr/bin/env node" },
  logLevel: "warning",
});

for (const program of ["m25-mail.js", "m25-mail-node.mjs"]) chmodSync(join(NEXT, program), 0o755);

/** Packs the node's program for Debian. The server offers this file to new nodes. */
writeFileSync(join(NEXT, nodePackageFile), nodePackage(NEXT));

start(NEXT);
takeOver();
/** Starts it in its place, to fill dist/compile-cache, which saves 50 ms a start, also for users who cannot write it. */
start("dist");
for (const entry of readdirSync("dist/compile-cache", { recursive: true, withFileTypes: true })) {
  if (entry.isFile()) chmodSync(join(entry.parentPath, entry.name), 0o644);
}

/** Starts the program of this folder once. @throws if it fails */
function start(built: string): void {
  const folder = mkdtempSync(join(tmpdir(), "m25-mail-build-"));
  try {
    execFileSync(
      process.execPath,
      [join(built, "m25-mail.js"), "stdio", "--db", join(folder, "m25-mail.db")],
      {
        input: "",
        env: { ...process.env, NODE_COMPILE_CACHE: undefined, NODE_DISABLE_COMPILE_CACHE: undefined }, // the builder's environment may set either
        stdio: "pipe", // hides its log, unless it fails
      },
    );
  } finally {
    rmSync(folder, { recursive: true });
  }
}

/**
 * Moves the build into dist, file by file, so that a program that starts meanwhile is the old one or the new one. The files of the
 * build before stay for programs that run, unless a package is made (--alone).
 */
function takeOver(): void {
  rmSync(join(NEXT, "compile-cache"), { recursive: true, force: true }); // it holds for this folder only
  const files = readdirSync(NEXT);
  const list = join("dist", LIST);
  const before: string[] =
    existsSync(list) && !process.argv.includes("--alone") ? JSON.parse(readFileSync(list, "utf8")) : [];
  mkdirSync("dist", { recursive: true });
  const others = files.filter((file) => !PROGRAMS.includes(file));
  for (const file of [...others, ...PROGRAMS]) renameSync(join(NEXT, file), join("dist", file));
  rmSync(NEXT, { recursive: true });
  writeFileSync(list, JSON.stringify(files));
  const kept = new Set([...files, ...before, LIST]);
  for (const file of readdirSync("dist")) {
    if (!kept.has(file)) rmSync(join("dist", file), { recursive: true });
  }
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
