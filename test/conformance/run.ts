import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { conformanceServer } from "./server.ts";

/** Runs MCP's official conformance suite against the product's HTTP stack, once for each revision. */
const REVISIONS = ["2025-11-25", "2026-07-28"];

const suite = fileURLToPath(import.meta.resolve("@modelcontextprotocol/conformance/dist/index.js"));
const folder = mkdtempSync(join(tmpdir(), "m25-conformance-"));
const server = await conformanceServer(join(folder, "m25-mail.db"));
try {
  for (const revision of REVISIONS) {
    const run = spawn(
      process.execPath,
      [
        suite,
        "server",
        ...["--url", `${server.url}/mcp`, "--requirements", revision, "-o", join(folder, revision)],
        ...["--expected-failures", join(import.meta.dirname, `expected-failures-${revision}.yaml`)],
      ],
      { stdio: ["ignore", "inherit", "inherit"] },
    );
    const [code] = await once(run, "exit");
    if (code !== 0) process.exitCode = 1;
  }
} finally {
  await server.close();
  rmSync(folder, { recursive: true });
}
