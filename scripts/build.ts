import { chmodSync, rmSync } from "node:fs";
import { build } from "esbuild";
import packageJson from "../package.json" with { type: "json" };

rmSync("dist", { recursive: true, force: true });

/** The server: split, so that stdio never reads the HTTP stack; native code and Fastify stay in node_modules. */
await build({
  entryPoints: { "m25-mail": "src/entry.ts" },
  outdir: "dist",
  bundle: true,
  splitting: true,
  minify: true,
  keepNames: true,
  format: "esm",
  platform: "node",
  target: "node22",
  external: ["better-sqlite3", "bcrypt", "fastify"],
  banner: { js: "#!/usr/bin/env node" },
  logLevel: "warning",
});

/** The node's program: one file, on whatever Node a Debian node has. A lone ESM file must end in .mjs there. */
await build({
  entryPoints: { "m25-mail-node": "src/agent-main.ts" },
  outdir: "dist",
  outExtension: { ".js": ".mjs" },
  bundle: true,
  format: "esm",
  platform: "node",
  target: "node18",
  define: { __M25_MAIL_VERSION__: JSON.stringify(packageJson.version) },
  banner: { js: "#!/usr/bin/env node" },
  logLevel: "warning",
});

for (const program of ["dist/m25-mail.js", "dist/m25-mail-node.mjs"]) chmodSync(program, 0o755);
