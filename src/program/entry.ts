import module from "node:module";
import { join } from "node:path";

/**
 * The program's first lines, which run on any Node: the native code that the rest imports ends an older
 * one with a segmentation fault instead of a word.
 */
const [major = 0, minor = 0] = process.versions.node.split(".").map(Number);
if (major < 22 || (major === 22 && minor < 19)) {
  process.stderr.write(
    `m25-mail needs Node.js 22.19 or later; this is ${process.version}. From a checkout, npm scripts bring their own.\n`,
  );
  process.exitCode = 1;
} else {
  // Beside the bundle, where who can write could as well change the program; where nobody may, there is none.
  const bundled = import.meta.filename.endsWith(".js");
  if (bundled) module.enableCompileCache(join(import.meta.dirname, "compile-cache"));
  await import("./main.ts");
}
