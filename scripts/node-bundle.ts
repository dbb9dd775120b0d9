import type { BuildOptions } from "esbuild";

/** How the node's program is bundled: one file, on whatever Node a Debian node has. */
export const nodeBundle = {
  bundle: true,
  minifySyntax: true, // names and lines stay, for operators who read what they run
  format: "esm",
  platform: "node",
  target: "node18",
} satisfies BuildOptions;
