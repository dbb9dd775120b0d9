import { execFileSync } from "node:child_process";
import { copyFileSync, mkdirSync, renameSync, rmSync } from "node:fs";
import { dirname, join } from "node:path";
import { areInstalled, installed } from "./installed.ts";

/** Installs the clients at the versions of package-lock.json here, without their install scripts. */
if (!areInstalled()) {
  const folder = `${installed}.${process.pid}`;
  mkdirSync(folder, { recursive: true });
  try {
    for (const name of ["package.json", "package-lock.json", ".npmrc"])
      copyFileSync(join(import.meta.dirname, name), join(folder, name));
    execFileSync("npm", ["ci", "--ignore-scripts", "--no-audit", "--no-fund"], {
      cwd: folder,
      stdio: "inherit",
    });
    rmSync(installed, { recursive: true, force: true });
    mkdirSync(dirname(installed), { recursive: true });
    renameSync(folder, installed);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
process.stdout.write(`${installed}\n`);
