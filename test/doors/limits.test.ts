import { connect } from "node:net";
import { expect, test } from "vitest";
import { BODY_LIMIT } from "../../src/doors/http/server-limits.ts";
import { http, rawHttp } from "../support/http.ts";
import { serverWithRoutes } from "../support/routes.ts";
import { startServer } from "../support/server.ts";

test("header fields over the limit are refused, and the answer repeats none", async () => {
  const server = await startServer();
  const answer = await http(`${server.url}/healthz`, { headers: { "x-large": "canary".repeat(3000) } });
  expect(answer.status).toBe(431);
  expect(answer.body).not.toContain("canary");
});

test("a request that is not HTTP gets a plain 400", async () => {
  const server = await startServer();
  const answer = await rawHttp(server.url, "EHLO canary\r\n\r\n");
  expect(answer).toMatch(/^HTTP\/1\.1 400 /);
  expect(answer).not.toContain("canary");
});

test("the connection is closed without a valid credential, and kept with one", async () => {
  const server = await startServer({ oauth: "true", "public-url": "https://mail.example.nl" });
  const key = String((await server.api("add-node", { name: "pi" })).body.sync_key);
  const connectionAfter = async (path: string, headers: Record<string, string> = {}) => {
    const { headers: answered } = await http(`${server.url}${path}`, {
      headers: { connection: "keep-alive", ...headers },
    });
    return answered.connection;
  };
  const bearer = (credential: string) => ({ authorization: `Bearer ${credential}` });
  for (const path of ["/healthz", "/api/list-domains", "/mcp", "/sync/v1/maps", "/nowhere", "/%zz"]) {
    expect(await connectionAfter(path), path).toBe("close");
    expect(await connectionAfter(path, bearer("nonsense")), path).toBe("close");
    expect(await connectionAfter(path, { host: "evil.example" }), path).toBe("close");
  }
  for (const path of ["/.well-known/oauth-authorization-server", "/authorize", "/jwks", "/interaction/x"])
    expect(await connectionAfter(path), path).toBe("close");
  for (const path of ["/api/list-domains", "/mcp", "/nowhere"])
    expect(await connectionAfter(path, bearer(server.token)), path).toBe("keep-alive");
  expect(await connectionAfter("/sync/v1/maps", bearer(key))).toBe("keep-alive");
});

/** Sends an endless body. Returns how many bytes were sent before the server closed the connection. */
function endless(url: string, path: string, credential: string, type: string): Promise<number> {
  let written = 0;
  return new Promise((resolve) => {
    const socket = connect(Number(new URL(url).port), "127.0.0.1");
    const chunk = `${(8192).toString(16)}\r\n${"x".repeat(8192)}\r\n`;
    const more = () => {
      while (socket.write(chunk)) written += 8192;
      if (written > 50_000_000) socket.destroy();
    };
    socket
      .on("drain", more)
      .on("error", () => {})
      .on("close", () => resolve(written));
    socket.resume();
    socket.write(
      `POST ${path} HTTP/1.1\r\nHost: localhost\r\nAccept: text/html\r\nAuthorization: Bearer ${credential}\r\n` +
        `Content-Type: ${type}\r\nTransfer-Encoding: chunked\r\n\r\n`,
    );
    more();
  });
}

test("a body that is too large or endless is cut off on every route", async () => {
  const server = await serverWithRoutes({ oauth: "true", "public-url": "https://mail.example.nl" });
  const key = String((await server.api("add-node", { name: "pi" })).body.sync_key);
  const posts = server.routes.filter(([method]) => method === "POST");
  expect(posts.length).toBeGreaterThan(8);
  for (const [method, path] of posts) {
    const credential = path.startsWith("/sync/") ? key : server.token;
    const form = /^\/(token|revoke|interaction|page)/.test(path);
    const type = form ? "application/x-www-form-urlencoded" : "application/json";
    const large = await http(`${server.url}${path}`, {
      method,
      headers: { authorization: `Bearer ${credential}`, accept: "text/html", "content-type": type },
      body: "x".repeat(BODY_LIMIT + 1),
    });
    expect(large.status, path).toBe(/^\/(token|revoke)/.test(path) ? 400 : 413); // RFC 6749 section 5.2 has no finer status
    expect(await endless(server.url, path, credential, type), path).toBeLessThan(20_000_000);
  }
  expect((await http(`${server.url}/healthz`)).status).toBe(200);
});
