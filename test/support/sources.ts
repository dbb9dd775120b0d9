import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";

const ROOT = join(import.meta.dirname, "../..");

/** Returns the TypeScript files below these top-level folders. */
export function sourceFiles(...folders: readonly string[]): Array<{ path: string; text: string }> {
  return folders.flatMap((folder) =>
    readdirSync(join(ROOT, folder), { recursive: true, encoding: "utf8" })
      .filter((path) => path.endsWith(".ts"))
      .map((path) => ({
        path: join(folder, path),
        text: readFileSync(join(ROOT, folder, path), "utf8"),
      })),
  );
}
