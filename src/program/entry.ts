import module from "node:module";
import { join } from "node:path";

/**
 * The program's first lines, which run on any Node. The rest imports native code, which ends an older Node
 * with a segmentation fault and no message.
 */
const [major = 0, minor = 0] = process.versions.node.split(".").map(Number);
if (major < 22 || (major === 22 && minor < 19)) {
  process.stderr.write(
    `m25-mail needs Node.js 22.19 or later; this is ${process.version}. From a checkout, npm scripts bring their own.\n`,
  );
  process.exitCode = 1;
} else {
  // The cache stands beside the bundle: only a user who can change the program can write it. Others run without one.
  const bundled = import.meta.filename.endsWith(".js");
  if (bundled) module.enableCompileCache(join(import.meta.dirname, "compile-cache"));
  await import("./main.ts");
}
