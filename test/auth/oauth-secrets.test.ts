import { existsSync, readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { callTool, connectHttp } from "../support/clients.ts";
import {
  authorize,
  begin,
  claudeFlow,
  mcpStatus,
  OPERATOR_PASSWORD,
  refresh,
  signIn,
  startOAuthServer,
  tokenRequest,
} from "../support/oauth.ts";
import { rawDatabase } from "../support/recount.ts";

/** Returns everything that the server keeps on disk. */
function filesOf(database: string): string {
  return ["", "-wal", "-shm"]
    .map((suffix) => database + suffix)
    .filter((file) => existsSync(file))
    .map((file) => readFileSync(file, "latin1"))
    .join();
}

test("no password, code or token of a sign-in appears in the database, its write-ahead log or the server's output", async () => {
  const server = await startOAuthServer();
  const secrets = new Set([OPERATOR_PASSWORD, "a canary of a guess"]);
  const begun = await begin(server, claudeFlow);
  await signIn(begun, "a canary of a guess");
  const { exchange } = await authorize(server);
  secrets.add(exchange.code).add(exchange.code_verifier);
  const { body: first } = await tokenRequest(server, exchange);
  const { body: second } = await refresh(server, first.refresh_token);
  for (const { access_token, refresh_token } of [first, second]) secrets.add(access_token).add(refresh_token);
  const client = await connectHttp("2.x 2026-07-28", server.url, second.access_token);
  await callTool(client, "list-domains");
  await tokenRequest(server, { ...exchange, code_verifier: "x".repeat(43) });
  await refresh(server, `${second.refresh_token.slice(0, -1)}~`);
  expect(secrets.size).toBe(8);
  const kept = filesOf(server.database);
  expect(kept.length).toBeGreaterThan(100_000);
  expect(kept).toContain("AccessToken");
  const said = server.log.join("\n");
  expect(said).toContain("OAuth: refused");
  for (const secret of secrets) {
    const part = secret.slice(0, 20); // a truncated secret would pass the log's filter
    expect(kept).not.toContain(part);
    expect(said).not.toContain(part);
  }
});

test("nothing stored in the database opens /mcp or gives a token", async () => {
  const server = await startOAuthServer();
  const { exchange } = await authorize(server);
  const { body } = await tokenRequest(server, (await authorize(server)).exchange);
  expect(await mcpStatus(server, body.access_token)).toBe(200);
  const texts = rawDatabase(server.database)
    .prepare<[], string>(
      "SELECT value FROM oauth, json_tree(payload) WHERE type = 'text' UNION SELECT id FROM oauth UNION SELECT grant_id FROM oauth",
    )
    .pluck()
    .all()
    .filter((text) => text !== null && /^[\x21-\x7e]+$/.test(text));
  expect(texts.length).toBeGreaterThan(10);
  for (const text of texts) {
    expect(await mcpStatus(server, text)).toBe(401);
    expect((await refresh(server, text)).status).toBe(400);
    expect((await tokenRequest(server, { ...exchange, code: text })).status).toBe(400);
  }
  expect((await tokenRequest(server, exchange)).status).toBe(200);
});
