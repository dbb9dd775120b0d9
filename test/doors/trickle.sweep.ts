import { expect, test } from "vitest";
import { rawHttp } from "../support/http.ts";
import { startServer } from "../support/server.ts";

test("a request that arrives slowly is cut off at any point", async () => {
  const server = await startServer();
  const head = (path: string) =>
    `POST ${path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer ${server.token}\r\n` +
    "Content-Type: application/json\r\nAccept: application/json, text/event-stream\r\nContent-Length: 1000\r\n";
  const requests = [
    "",
    "GET /healthz HTTP/1.1\r\nHost: loc",
    `${head("/api/add-domain")}\r\n{"domain":`,
    `${head("/mcp")}\r\n{"jsonrpc":`,
  ];
  const answers = await Promise.all(requests.map((bytes) => rawHttp(server.url, bytes)));
  for (const answer of answers) expect(answer).toMatch(/^(HTTP\/1\.1 40[08] |$)/);
  expect((await server.api("list-domains")).body).toMatchObject({ total: 0 });
});
