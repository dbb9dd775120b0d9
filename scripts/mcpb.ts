import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { packExtension } from "@anthropic-ai/mcpb";
import packageJson from "../package.json" with { type: "json" };
import { overMcp } from "../src/doors/mcp/wording.ts";
import { mcpName } from "../tools/call/tool.ts";
import { tools } from "../tools/index.ts";

/**
 * Packs the build into an MCP bundle, which Claude Desktop and other hosts install by a click: `npm run mcpb`.
 * better-sqlite3 and bcrypt carry binaries for all platforms, so one bundle serves them all.
 */
const [file = `${packageJson.name}-${packageJson.version}.mcpb`] = process.argv.slice(2);
const bundle = resolve(file);
process.chdir(join(import.meta.dirname, ".."));

/** Sources of native code, which the packages also contain compiled: two thirds of better-sqlite3. */
const unused = ["better-sqlite3/deps", "better-sqlite3/src", "bcrypt/src"].map((path) =>
  join("node_modules", path),
);

const folder = mkdtempSync(join(tmpdir(), "m25-mail-mcpb-"));
try {
  cpSync("dist", join(folder, "dist"), {
    recursive: true,
    filter: (path) => !path.endsWith("compile-cache"),
  });
  cpSync("LICENSE", join(folder, "LICENSE"));
  for (const path of productionPackages()) {
    cpSync(path, join(folder, path), { recursive: true, filter: (part) => !unused.includes(part) });
  }
  write("package.json", { name: packageJson.name, version: packageJson.version, type: packageJson.type });
  write("manifest.json", manifest());
  if (!(await packExtension({ extensionPath: folder, outputPath: bundle, silent: true }))) {
    throw new Error("mcpb did not pack the bundle: npx mcpb validate tells the error in its manifest");
  }
} finally {
  rmSync(folder, { recursive: true });
}
process.stdout.write(`${bundle}\n`);

function write(name: string, value: unknown): void {
  writeFileSync(join(folder, name), `${JSON.stringify(value, null, 2)}\n`);
}

/** The folders of package-lock.json's production packages. */
function productionPackages(): string[] {
  const lock: { packages: Record<string, { dev?: true; link?: true }> } = JSON.parse(
    readFileSync("package-lock.json", "utf8"),
  );
  return Object.entries(lock.packages)
    .filter(([path, { dev, link }]) => path.startsWith("node_modules/") && !dev && !link)
    .map(([path]) => path);
}

function manifest() {
  return {
    manifest_version: "0.3",
    name: packageJson.name,
    display_name: "M25 Mail",
    version: packageJson.version,
    description: packageJson.description,
    author: { name: "the M25 Mail authors" },
    license: packageJson.license,
    repository: { type: "git", url: packageJson.repository.url.replace("git+", "") },
    homepage: packageJson.homepage,
    support: packageJson.bugs,
    keywords: packageJson.keywords,
    server: {
      type: "node",
      entry_point: "dist/m25-mail.js",
      mcp_config: {
        command: "node",
        // biome-ignore-start lint/suspicious/noTemplateCurlyInString: the host replaces them
        args: ["${__dirname}/dist/m25-mail.js", "stdio"],
        env: { M25_MAIL_DB: "${user_config.database}", M25_MAIL_READ_ONLY: "${user_config.read_only}" },
        // biome-ignore-end lint/suspicious/noTemplateCurlyInString: the host replaces them
      },
    },
    tools: tools.map((tool) => ({ name: mcpName(tool), description: overMcp(tool.description) })),
    compatibility: {
      platforms: ["darwin", "win32", "linux"],
      runtimes: { node: packageJson.engines.node },
    },
    user_config: {
      database: {
        type: "string",
        title: "Database file",
        description: "Its full path. Leave it empty for the default, m25-mail/m25-mail.db in ~/.local/share.",
        required: false,
        default: "",
      },
      read_only: {
        type: "boolean",
        title: "Read only",
        description: "Offer only the tools that change nothing.",
        required: false,
        default: false,
      },
    },
  };
}
