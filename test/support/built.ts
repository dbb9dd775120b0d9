import { execFileSync } from "node:child_process";
import { globSync, statSync } from "node:fs";
import { join } from "node:path";

const root = join(import.meta.dirname, "../..");

/** Builds, before a run, what has changed since the last build: tests start the programs as shipped. */
export default function setup(): void {
  const sources = globSync("{src,db,tools,scripts,deploy}/**/*", { cwd: root });
  const changed = ["package.json", ...sources].map((file) => statSync(join(root, file)).mtimeMs);
  const built = statSync(join(root, "dist/m25-mail.js"), { throwIfNoEntry: false });
  if (built === undefined || built.mtimeMs < Math.max(...changed))
    execFileSync(process.execPath, ["scripts/build.ts"], { cwd: root, stdio: "inherit" });
}
