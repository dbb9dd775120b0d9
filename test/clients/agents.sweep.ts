import { join } from "node:path";
import { expect, test } from "vitest";
import { calls, expected, Home, type ServerSettings, startFor, transports } from "./client.ts";
import { geminiModel } from "./gemini-model.ts";
import { areInstalled, packages } from "./installed.ts";
import { openaiModel } from "./openai-model.ts";

const TASK = "Add a mailbox for Jan.";

/** Codex's models write null for an omitted argument. Gemini CLI itself refuses null. */
const written = calls.map((call) =>
  call.name === "m25_mail_add_user" ? { ...call, arguments: { ...call.arguments, quota_mb: null } } : call,
);

test.runIf(areInstalled()).each(transports)(
  "Gemini CLI makes a mailbox over %s and its model reads why a second one is refused",
  async (transport) => {
    const { server, settings } = await startFor(transport);
    // Gemini CLI's prompt makes the model say with each call whether it waits for the one before.
    const model = await geminiModel(
      calls.map((call) => ({ ...call, arguments: { ...call.arguments, wait_for_previous: true } })),
    );
    const home = new Home();
    home.write(".gemini/settings.json", geminiSettings(settings));
    const { code, stdout, stderr } = await home.run(
      [process.execPath, join(packages, "@google/gemini-cli/bundle/gemini.js"), ...GEMINI, "-p", TASK],
      {
        environment: {
          GEMINI_API_KEY: "no-key",
          GOOGLE_GEMINI_BASE_URL: model.url,
          GEMINI_CLI_NO_RELAUNCH: "true",
        },
      },
    );
    expect([code, stdout.trim()], stderr).toEqual([0, "Done."]);
    model.expectRead(expected);
    expect((await server.api("list-users?domain=client.example")).body).toMatchObject({ total: 1 });
  },
);

test.runIf(areInstalled()).each(transports)(
  "Codex makes a mailbox over %s and its model reads why a second one is refused",
  async (transport) => {
    const { server, settings } = await startFor(transport);
    const model = await openaiModel(written);
    const home = new Home();
    home.write(".codex/config.toml", codexSettings(settings, model.url));
    const { code, stdout, stderr } = await home.run(
      [process.execPath, join(packages, "@openai/codex/bin/codex.js"), ...CODEX, TASK],
      { environment: model.environment },
    );
    expect([code, stdout.trim()], stderr).toEqual([0, "Done."]);
    model.expectRead(expected);
    expect((await server.api("list-users?domain=client.example")).body).toMatchObject({ total: 1 });
  },
);

const GEMINI = ["--yolo", "--skip-trust", "--model", "gemini-2.5-flash"];
const CODEX = ["exec", "--skip-git-repo-check", "--dangerously-bypass-approvals-and-sandbox"];

function geminiSettings(server: ServerSettings): string {
  const { url, ...rest } = "url" in server ? server : { ...server, url: undefined };
  return JSON.stringify({
    mcpServers: { "m25-mail": { ...rest, ...(url && { httpUrl: url }), trust: true } },
    security: { auth: { selectedType: "gemini-api-key" } },
    general: { enableAutoUpdate: false, enableAutoUpdateNotification: false },
    privacy: { usageStatisticsEnabled: false },
  });
}

/** Builds Codex's settings. TOML's strings, lists and inline tables are JSON's except for the colon. */
function codexSettings(server: ServerSettings, model: string): string {
  const lines =
    "url" in server
      ? [
          `url = ${JSON.stringify(server.url)}`,
          `http_headers = { Authorization = ${JSON.stringify(server.headers.Authorization)} }`,
        ]
      : [`command = ${JSON.stringify(server.command)}`, `args = ${JSON.stringify(server.args)}`];
  return [
    'model = "scripted"',
    'model_provider = "local"',
    "check_for_update_on_startup = false",
    "[analytics]",
    "enabled = false",
    "[model_providers.local]",
    'name = "local"',
    `base_url = "${model}/v1"`,
    'env_key = "OPENAI_API_KEY"',
    'wire_api = "responses"',
    "[mcp_servers.m25-mail]",
    ...lines,
    "required = true", // else, on a busy machine, the model would be asked before the tools are there
    "startup_timeout_sec = 300",
    "tool_timeout_sec = 300",
    "",
  ].join("\n");
}
