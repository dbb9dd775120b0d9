// Starts `m25-mail stdio` for MCP clients, on Windows too. Runs on any Node; starts the server on the project's own.
import { spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";

const here = (path) => fileURLToPath(new URL(`../${path}`, import.meta.url));
const windows = process.platform === "win32";
const pinned = windows
  ? here(`node_modules/node-win-${process.arch}/bin/node.exe`)
  : here(`node_modules/node-${process.platform}-${process.arch}/bin/node`);

const server = spawn(
  existsSync(pinned) ? pinned : process.execPath,
  [here("src/program/entry.ts"), "stdio", ...process.argv.slice(2)],
  { stdio: "inherit", windowsHide: true },
);
for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"]) {
  // In a Windows console Ctrl-C reaches the server directly, and a signal would kill it.
  process.on(signal, () => windows || server.kill(signal));
}
server.on("exit", (code) => process.exit(code ?? 1));
