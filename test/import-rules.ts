/** The rules on which folder may import which, as data. `architecture.test.ts` applies them. */
import { posix } from "node:path";

/** Keys are folders or files. The longest key that contains a file is its rule, and lists what it may import. */
export const mayImport: Record<string, readonly string[]> = {
  "src/mail": [],
  "src/dns": ["src/mail"],
  "src/sync": ["src/mail"],
  "src/command-line": [],
  "src/sync/publisher.ts": ["src/mail", "src/sync", "db/store.ts"],
  "src/machine": ["src/mail", "src/sync", "src/command-line"],
  "src/node": ["src/mail", "src/sync", "src/command-line", "src/machine"],
  "src/node-main.ts": ["src/mail", "src/sync", "src/command-line", "src/machine", "src/node"],
  "src/node-setup-main.ts": ["src/mail", "src/sync", "src/command-line", "src/machine", "src/node"],
  "src/log": ["src/mail", "src/sync", "tools", "db/store.ts"],
  db: ["src/mail", "src/sync"],
  /** Only the types of db: another test checks that the bundled tools contain none of its code. */
  tools: ["src/mail", "src/dns", "db"],
  "src/doors": [
    "src/mail",
    "src/dns",
    "src/sync",
    "src/command-line",
    "src/log",
    "src/auth",
    "src/program",
    "tools",
    "db/store.ts",
  ],
  "src/auth": ["src/mail", "src/sync", "src/log", "src/doors", "tools", "db/store.ts"],
  "src/program": [
    "src/mail",
    "src/sync",
    "src/command-line",
    "src/log",
    "src/auth",
    "src/doors",
    "src/machine",
    "tools",
    "db",
    "package.json",
  ],
};

/** Exceptions from the rules: modules that a folder must not import. */
export const mayNotImport: Record<string, readonly string[]> = {
  "src/machine": ["src/mail/schemas.ts"],
  "src/node": ["src/mail/schemas.ts"],
};

/** The folders that may import a package. No folder may import a package that is not listed. */
export const packages: Record<string, readonly string[]> = {
  "@hono/node-server": ["src/doors/mcp"],
  "@modelcontextprotocol/server": ["src/doors/mcp"],
  "@zxcvbn-ts/language-common": ["tools/call/weak-passwords.ts"],
  bcrypt: ["tools/call/password-hash.ts"],
  "better-sqlite3": ["db/sqlite"],
  "csv-parse": ["src/doors/cli/import"],
  yaml: ["src/doors/cli/import"],
  "email-providers": ["tools/add-domain.ts"],
  fastify: ["src/doors", "src/auth"],
  kysely: ["db"],
  mailauth: ["src/dns"],
  "oidc-provider": ["src/auth/oauth"],
  pg: ["db/postgres"],
  pino: ["src/log"],
  "prom-client": ["src/log"],
  tldts: ["src/dns"],
  zod: ["src/mail", "tools", "src/doors", "src/auth", "src/program"],
};

/**
 * Returns the imports in a source text that the rules refuse, as `file imports module`.
 * @param file path from the project's root, as in `db/audit.ts`
 */
export function refusedImports(file: string, source: string): string[] {
  const imports = source.matchAll(/(?:\bfrom|\bimport)\s*\(?\s*"([^"\s]+)"/g);
  return [...imports]
    .map(([, specifier]) => specifier ?? "")
    .filter((specifier) => !specifier.startsWith("node:") && !isAllowed(file, specifier))
    .map((specifier) => `${file} imports ${specifier}`);
}

function isAllowed(file: string, specifier: string): boolean {
  if (!specifier.startsWith(".")) {
    const name = specifier.split("/", specifier.startsWith("@") ? 2 : 1).join("/");
    return isWithin(file, packages[name] ?? []);
  }
  const target = posix.join(posix.dirname(file), specifier);
  const rule = ruleOf(file, mayImport);
  return isWithin(target, [rule, ...(mayImport[rule] ?? [])]) && !isWithin(target, mayNotImport[rule] ?? []);
}

function ruleOf(file: string, rules: Record<string, unknown>): string {
  const matches = Object.keys(rules).filter((place) => isWithin(file, [place]));
  return matches.sort((a, b) => b.length - a.length)[0] ?? "";
}

function isWithin(file: string, places: readonly string[]): boolean {
  return places.some((place) => file === place || file.startsWith(`${place}/`));
}
