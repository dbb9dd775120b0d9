import { Client as ClassicClient } from "@modelcontextprotocol/sdk/client/index.js";
import { StreamableHTTPClientTransport as ClassicHttp } from "@modelcontextprotocol/sdk/client/streamableHttp.js";
import { expect, test } from "vitest";
import { startServer } from "../support/server.ts";

test("a client of the 1.x SDK administers mail over HTTP", async () => {
  const server = await startServer();
  const client = new ClassicClient({ name: "test", version: "1" });
  await client.connect(
    new ClassicHttp(new URL(`${server.url}/mcp`), {
      requestInit: { headers: { authorization: `Bearer ${server.token}` } },
    }),
  );
  expect((await client.listTools()).tools).toHaveLength(9);
  const result = await client.callTool({ name: "m25_mail_add_domain", arguments: { domain: "example.nl" } });
  expect(result.structuredContent).toMatchObject({ domain: "example.nl", revision: 1 });
  await client.close();
});
