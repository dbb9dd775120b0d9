import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";
import { mcpName } from "../../tools/call/tool.ts";
import { tools } from "../../tools/index.ts";
import { ENTRY, type Finished, m25mail } from "../support/program.ts";
import { startServer } from "../support/server.ts";
import { temporaryFolder } from "../support/store.ts";

const CLI = fileURLToPath(import.meta.resolve("@modelcontextprotocol/inspector/clients/cli/build/index.js"));

/** Runs the MCP Inspector's command line, with its settings in a folder of this run. */
function inspect(...args: string[]): Promise<Finished> {
  return m25mail(args, {
    command: [process.execPath, CLI],
    environment: { HOME: temporaryFolder() },
  });
}

const doors = {
  async stdio() {
    return [process.execPath, ENTRY, "stdio", "--db", join(temporaryFolder(), "m25-mail.db")];
  },
  async HTTP() {
    const { url, token } = await startServer();
    return [`${url}/mcp`, "--transport", "http", "--header", `Authorization: Bearer ${token}`];
  },
};

for (const [door, target] of Object.entries(doors)) {
  test(`the Inspector lists the nine tools over ${door} and finds no error in them`, async () => {
    const { code, stdout, stderr } = await inspect(
      ...(await target()),
      ...["--method", "tools/list", "--strict"],
    );
    expect(stderr).not.toContain("Path:");
    expect(code).toBe(0);
    const names = (JSON.parse(stdout) as { tools: { name: string }[] }).tools.map(({ name }) => name);
    expect(names).toEqual(tools.map(mcpName));
  });

  test(`the Inspector calls a tool over ${door}`, async () => {
    const { code, stdout } = await inspect(
      ...(await target()),
      ...["--method", "tools/call", "--tool-name", "m25_mail_add_domain", "--tool-arg", "domain=example.nl"],
    );
    expect(code).toBe(0);
    expect(JSON.parse(stdout)).toMatchObject({ structuredContent: { domain: "example.nl", revision: 1 } });
  });
}
