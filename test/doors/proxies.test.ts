import { once } from "node:events";
import { createServer } from "node:http";
import { get } from "node:https";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { setDefaultCACertificates } from "node:tls";
import { describe, expect, onTestFinished, test } from "vitest";
import { seedDatabase } from "../../db/sqlite/seed.ts";
import { callTool, clientKinds, connectHttp } from "../support/clients.ts";
import { http, rawHttp } from "../support/http.ts";
import { isInstalled, type ProxyKind, proxies, type ReverseProxy, startProxy } from "../support/proxies.ts";
import { startServer } from "../support/server.ts";
import { fakeHash, PASSWORD, temporaryFolder, testRuntime } from "../support/store.ts";
import { SyncingNode } from "../support/syncing-node.ts";

/** Starts a server behind a proxy that it trusts, and that this process trusts. */
async function behind(kind: ProxyKind, flags: Record<string, string> = {}) {
  const server = await startServer({ "trusted-proxies": "127.0.0.1", ...flags });
  const proxy = await startProxy(kind, server.url);
  setDefaultCACertificates([proxy.ca.toString()]);
  return { server, proxy, ...testRuntime(server.store) };
}

describe.each(Object.keys(proxies) as ProxyKind[])("behind %s with the configuration in deploy/", (kind) => {
  const proxied = test.skipIf(!isInstalled(kind));

  proxied("MCP clients of every line work, and so does REST", async () => {
    const { server, proxy } = await behind(kind);
    for (const line of clientKinds) {
      const client = await connectHttp(line, proxy.url, server.token);
      const { structuredContent } = await callTool(client, "add-domain", {
        domain: `${line.replace(/\W/g, "-")}.nl`,
      });
      expect(structuredContent).toMatchObject({ revision: expect.any(Number) });
    }
    const headers = { authorization: `Bearer ${server.token}` };
    const listed = await http(`${proxy.url}/api/list-domains`, { headers, ca: proxy.ca });
    expect(JSON.parse(listed.body)).toMatchObject({ total: clientKinds.length });
    expect(listed.headers["strict-transport-security"]).toMatch(/^max-age=\d+/);
    expect((await http(`${proxy.url}/api/list-domains`, { ca: proxy.ca })).status).toBe(401);
  });

  proxied("a waiting node is woken by a change", async () => {
    const { proxy, must } = await behind(kind);
    const node = new SyncingNode(proxy.url, String((await must("add-node", { name: "pi" })).sync_key));
    await node.poll();
    const waiting = node.poll({ prefer: "wait=55" });
    await must("add-domain", { domain: "example.nl" });
    expect((await waiting).kind).toBe("delta");
  });

  proxied("a node is known by its own address, whatever it says in X-Forwarded-For", async () => {
    const { proxy, must } = await behind(kind);
    const poll = async (registered: string, caller: string, forwardedFor?: string) => {
      const { sync_key } = await must("add-node", {
        name: `n${crypto.randomUUID()}`,
        ip_address: registered,
      });
      const headers: Record<string, string> = { authorization: `Bearer ${sync_key}` };
      if (forwardedFor !== undefined) headers["x-forwarded-for"] = forwardedFor;
      const url = `${proxy.url}/sync/v1/maps`;
      const { body } = await http(url, { headers, ca: proxy.ca, localAddress: caller });
      return body.includes('"kind":"snapshot"') ? "served" : JSON.parse(body).code;
    };
    expect(await poll("127.0.0.9", "127.0.0.9")).toBe("served");
    expect(await poll("127.0.0.9", "127.0.0.9", "198.51.100.7")).toBe("served");
    expect(await poll("127.0.0.9", "127.0.0.8")).toBe("forbidden");
    expect(await poll("127.0.0.9", "127.0.0.8", "127.0.0.9")).toBe("forbidden");
    expect(await poll("198.51.100.7", "127.0.0.9", "198.51.100.7")).toBe("forbidden");
    expect(await poll("198.51.100.7", "127.0.0.9", "198.51.100.7, 127.0.0.1")).toBe("forbidden");
  });

  proxied("a snapshot of more than a million bytes arrives whole", async () => {
    const db = join(temporaryFolder(), "m25-mail.db");
    const at = new Date().toISOString();
    await seedDatabase(db, { users: 10_000, domains: 10, passwordHash: fakeHash(PASSWORD), at });
    const { server, proxy, must } = await behind(kind, { db });
    const { sync_key } = await must("add-node", { name: "pi" });
    const node = new SyncingNode(proxy.url, String(sync_key));
    expect((await node.poll()).kind).toBe("snapshot");
    expect(node.state?.users.size).toBe(10_000);
    const headers = { authorization: `Bearer ${sync_key}`, "accept-encoding": "identity" };
    const { body } = await http(`${proxy.url}/sync/v1/maps`, { headers, ca: proxy.ca });
    expect(body.length).toBeGreaterThan(1_000_000);
    expect(body).toBe((await http(`${server.url}/sync/v1/maps`, { headers })).body);
  });

  proxied("the first part of an answer is passed on before the server sends the rest", async () => {
    let sayTheRest = () => {};
    const upstream = createServer((_request, response) => {
      response.writeHead(200, { "content-type": "text/event-stream" });
      response.write("data: first\n\n");
      sayTheRest = () => response.end("data: last\n\n");
    }).listen(0, "127.0.0.1");
    await once(upstream, "listening");
    onTestFinished(() => void upstream.close());
    const proxy = await startProxy(kind, `http://127.0.0.1:${(upstream.address() as AddressInfo).port}`);
    expect(await firstAndRest(proxy, () => sayTheRest())).toEqual(["data: first\n\n", "data: last\n\n"]);
  });

  proxied("a request larger than the server's limit is refused", async () => {
    const { server, proxy } = await behind(kind);
    const headers = { authorization: `Bearer ${server.token}`, "content-type": "application/json" };
    const domain = "x".repeat(70_000);
    const answer = await http(`${proxy.url}/api/add-domain`, {
      method: "POST",
      headers,
      body: JSON.stringify({ domain }),
      ca: proxy.ca,
    });
    expect(answer.status).toBe(413);
    const large = await http(`${proxy.url}/healthz`, { headers: { "x-large": domain }, ca: proxy.ca });
    expect([400, 431]).toContain(large.status);
    const plain = await rawHttp(proxy.url, "GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    expect(plain).toMatch(/^HTTP\/1\.[01] 400/); // HTTPS only
  });
});

/** Reads the first bytes of an answer, then calls `more`, then reads the rest. */
async function firstAndRest({ url, ca }: ReverseProxy, more: () => void): Promise<[string, string]> {
  const request = get(url, { ca, agent: false });
  const [response] = await once(request, "response");
  const [first] = await once(response.setEncoding("utf8"), "data");
  let rest = "";
  response.on("data", (text: string) => {
    rest += text;
  });
  more();
  await once(response, "end");
  return [first, rest];
}
