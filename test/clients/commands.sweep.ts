import { join } from "node:path";
import { expect, test } from "vitest";
import { calls, expected, Home, startFor, transports } from "./client.ts";
import { areInstalled, packages } from "./installed.ts";

test.runIf(areInstalled()).each(transports)(
  "mcporter makes a mailbox over %s and says why a second one is refused",
  async (transport) => {
    const { server, settings } = await startFor(transport);
    const home = new Home();
    home.write("config/mcporter.json", JSON.stringify({ mcpServers: { "m25-mail": settings } }));
    for (const [index, { name, arguments: input }] of calls.entries()) {
      const { stdout, stderr } = await home.run([
        process.execPath,
        join(packages, "mcporter/dist/cli.js"),
        "call",
        `m25-mail.${name}`,
        "--args",
        JSON.stringify(input),
      ]);
      expect(stdout + stderr).toMatch(expected[index] ?? /never/);
    }
    expect((await server.api("list-users?domain=client.example")).body).toMatchObject({ total: 1 });
  },
);

test.runIf(areInstalled()).each(transports)(
  "Claude Code finds the server healthy over %s",
  async (transport) => {
    const { settings } = await startFor(transport);
    const home = new Home();
    const type = transport === "http" ? { type: "http" } : {};
    home.write(".claude.json", JSON.stringify({ mcpServers: { "m25-mail": { ...type, ...settings } } }));
    const claude = join(packages, `@anthropic-ai/claude-code-linux-${process.arch}/claude`);
    const { stdout, stderr } = await home.run([claude, "mcp", "list"]);
    expect(stdout, stderr).toMatch(/^m25-mail: .* Connected$/m);
  },
);
