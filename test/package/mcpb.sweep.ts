import { execFileSync } from "node:child_process";
import { existsSync, readFileSync, statSync } from "node:fs";
import { homedir } from "node:os";
import { join } from "node:path";
import { getMcpConfigForManifest, unpackExtension } from "@anthropic-ai/mcpb";
import { expect, test } from "vitest";
import packageJson from "../../package.json" with { type: "json" };
import { callTool, connectCommand } from "../support/clients.ts";
import { environmentOf } from "../support/program.ts";
import { temporaryFolder } from "../support/store.ts";

const MIB = 1024 * 1024;
const checkout = join(import.meta.dirname, "../..");

/** Unpacks the bundle as a host does. Returns a function that starts the server with a user's settings. */
async function installed() {
  const folder = temporaryFolder();
  const bundle = join(folder, "m25-mail.mcpb");
  execFileSync(process.execPath, ["scripts/mcpb.ts", bundle], { cwd: checkout, stdio: "pipe" });
  const extension = join(folder, "extension");
  await unpackExtension({ mcpbPath: bundle, outputDir: extension, silent: true });
  const manifest = JSON.parse(readFileSync(join(extension, "manifest.json"), "utf8"));
  const start = async (userConfig: Record<string, string | boolean>) => {
    const config = await getMcpConfigForManifest({
      manifest,
      extensionPath: extension,
      systemDirs: { HOME: homedir() },
      userConfig,
      pathSeparator: "/",
    });
    if (config === undefined) throw new Error("The host finds that a setting is missing.");
    const command = config.command === "node" ? process.execPath : config.command;
    return connectCommand(command, config.args ?? [], environmentOf(config.env));
  };
  return { folder, bundle, extension, manifest, start };
}

test("the unpacked MCP bundle runs with its user's settings", async () => {
  const { folder, bundle, extension, manifest, start } = await installed();
  expect(statSync(bundle).size).toBeLessThan(25 * MIB);
  expect(manifest).toMatchObject({ version: packageJson.version, manifest_version: "0.3" });
  const prebuilt = (path: string) => existsSync(join(extension, "node_modules", path));
  for (const platform of ["darwin-arm64", "darwin-x64", "win32-arm64", "win32-x64"]) {
    expect(prebuilt(`better-sqlite3/prebuilds/${platform}.node`), platform).toBe(true);
    expect(prebuilt(`bcrypt/prebuilds/${platform}/bcrypt.node`), platform).toBe(true);
  }

  const database = join(folder, "m25-mail.db");
  const writing = await start({ database });
  const { tools } = await writing.listTools();
  expect(tools.map(({ name }) => name)).toEqual(manifest.tools.map(({ name }: { name: string }) => name));
  await callTool(writing, "add-domain", { domain: "example.nl" });
  const user = { email: "jan@example.nl", password: "correct horse battery" };
  expect((await callTool(writing, "add-user", user)).structuredContent).toMatchObject({ active: true });

  const reading = await start({ database, read_only: true });
  expect((await reading.listTools()).tools.map(({ name }) => name)).not.toContain("m25_mail_add_user");
  expect((await callTool(reading, "list-users")).structuredContent).toMatchObject({ total: 1 });
});
