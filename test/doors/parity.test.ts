import { join } from "node:path";
import { expect, test } from "vitest";
import { callTool, connectHttp, connectStdio, type McpClient } from "../support/clients.ts";
import { m25mail } from "../support/program.ts";
import { startServer } from "../support/server.ts";
import { temporaryFolder, toolOf } from "../support/store.ts";

type Input = Record<string, unknown>;
/** The outcome of a call: the result, or the code of the refusal. */
type Outcome = Input | string;
type Door = (endpoint: string, input: Input) => Promise<Outcome>;

const jan = { email: "jan@example.nl" };
const password = "correct horse";

/** Calls in order, on a new database. `json`: not possible on a command line, where every value is text. */
const table: ReadonlyArray<[endpoint: string, input: Input, expected: string, json?: "json"]> = [
  ["list-domains", {}, "done"],
  ["add-user", { ...jan, password }, "domain_not_found"],
  ["add-domain", { domain: "Example.nl" }, "done"],
  ["add-domain", { domain: "bücher.example" }, "done"],
  ["add-domain", { domain: "example.nl" }, "domain_exists"],
  ["add-domain", { domain: "\u212Aelvin.nl" }, "invalid_input"],
  ["add-domain", { domain: ["example.nl"] }, "invalid_input", "json"],
  ["add-domain", { domain: "a.nl", quota_mb: 5 }, "invalid_input", "json"],
  ["add-domain", {}, "invalid_input"],
  ["list-domains", { limit: 1 }, "done"],
  ["list-domains", { limit: 0 }, "invalid_input"],
  ["list-domains", { cursor: "nonsense" }, "invalid_input"],
  ["add-user", { ...jan, password, quota_mb: 5 }, "done"],
  ["add-user", { ...jan, password }, "user_exists"],
  ["add-user", { email: "piet@example.nl", password: "short" }, "invalid_input"],
  ["add-user", { email: "piet@example.nl", password, quota_mb: 0 }, "invalid_input"],
  ["add-user", { email: "piet@example.nl", password, quota_mb: "5 MiB" }, "invalid_input", "json"],
  ["list-users", { domain: "example.nl" }, "done"],
  ["list-users", { domain: "other.nl" }, "domain_not_found"],
  ["update-password", { ...jan, password: "another password" }, "done"],
  ["remove-domain", { domain: "example.nl" }, "domain_has_active_users"],
  ["remove-user", { ...jan, hard_delete: "yes" }, "invalid_input", "json"],
  ["remove-user", jan, "done"],
  ["update-password", { ...jan, password }, "user_inactive"],
  ["add-user", { ...jan, password }, "done"],
  ["remove-user", { ...jan, hard_delete: true }, "done"],
  ["remove-user", jan, "user_not_found"],
  ["add-node", { name: "pi", ip_address: "192.0.2.0/24" }, "done"],
  ["add-node", { name: "pi" }, "node_exists"],
  ["list-nodes", {}, "done"],
  ["remove-domain", { domain: "example.nl" }, "done"],
];

function mcpDoor(client: McpClient): Door {
  return async (endpoint, input) => {
    const { isError, content, structuredContent } = await callTool(client, endpoint, input);
    if (isError !== true) return structuredContent ?? {};
    return content[0]?.text.split(":")[0] ?? "";
  };
}

/** Opens each door to a database of its own. */
const doors: Record<string, () => Promise<Door>> = {
  "MCP over stdio": async () =>
    mcpDoor(await connectStdio("2.x 2026-07-28", join(temporaryFolder(), "m25-mail.db"))),
  "MCP over HTTP": async () => {
    const server = await startServer();
    return mcpDoor(await connectHttp("1.x", server.url, server.token));
  },
  REST: async () => {
    const server = await startServer();
    return async (endpoint, input) => {
      const reads = toolOf(endpoint).effect === "read";
      const query = new URLSearchParams(input as Record<string, string>);
      const { status, body } = await server.api(
        reads ? `${endpoint}?${query}` : endpoint,
        reads ? undefined : input,
      );
      expect(`${body.detail} ${body.hint}`).not.toContain("m25_mail_");
      return status === 200 ? body : String(body.code);
    };
  },
  "the command line": async () => {
    const { database } = await startServer();
    return async (endpoint, { password: typed, ...input }) => {
      const flags = Object.entries(input).map(([field, value]) =>
        value === true ? `--${field.replaceAll("_", "-")}` : `--${field.replaceAll("_", "-")}=${value}`,
      );
      const { code, stdout, stderr } = await m25mail(
        ["call", endpoint, "--json", "--db", database, ...flags],
        {
          input: `${typed ?? ""}\n`,
        },
      );
      expect(stderr).not.toContain("m25_mail_");
      return code === 0 ? JSON.parse(stdout) : (stderr.split(":")[0] ?? "");
    };
  },
};

/** Replaces times and keys, which differ from run to run. */
function comparable(outcome: Outcome): Outcome {
  const text = JSON.stringify(outcome)
    .replace(/\d{4}-\d\d-\d\dT[\d:.]+Z/g, "TIME")
    .replace(/m25key_\w+/g, "KEY")
    // At the shell, a line to paste stands alone.
    .replace(/when it asks:(?:\\n)+/, "when it asks: ")
    // Each door's own name for the next tool.
    .replace(
      /m25_mail_(?:add|list)_nodes?\b|(?:GET|POST) \/api\/(?:add|list)-nodes?\b|m25-mail node add NAME|m25-mail node list\b/g,
      "TOOL",
    );
  // The operator reads where the URL comes from, others whom to ask.
  return JSON.parse(text.replace(/URL is the address .*? On a fresh/, "On a fresh")) as Outcome;
}

async function walk(open: () => Promise<Door>, skip: boolean): Promise<Outcome[]> {
  const door = await open();
  const outcomes: Outcome[] = [];
  for (const [endpoint, input, , json] of table) {
    if (!(skip && json)) outcomes.push(comparable(await door(endpoint, input)));
  }
  return outcomes;
}

test("the same calls have the same outcomes at every door", async () => {
  const entries = Object.entries(doors);
  const walks = await Promise.all(entries.map(([name, open]) => walk(open, name === "the command line")));
  const [first = []] = walks;
  expect(first.map((outcome) => (typeof outcome === "string" ? outcome : "done"))).toEqual(
    table.map(([, , expected]) => expected),
  );
  entries.forEach(([name], index) => {
    const cli = name === "the command line";
    expect(walks[index], name).toEqual(first.filter((_, row) => !(cli && table[row]?.[3])));
  });
});
