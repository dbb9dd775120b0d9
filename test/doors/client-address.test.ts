import fc from "fast-check";
import { expect, test } from "vitest";
import { clientAddress } from "../../src/doors/http/client-address.ts";
import { Networks } from "../../src/mail/network.ts";
import { http } from "../support/http.ts";
import { m25mail } from "../support/program.ts";
import { startServer } from "../support/server.ts";
import { testRuntime } from "../support/store.ts";

const proxies = new Networks(["10.0.0.0/8", "2001:db8:1::/48", "192.0.2.1"]);

test.each([
  ["10.0.0.1", "198.51.100.7", "198.51.100.7", "one proxy"],
  ["10.0.0.1", "198.51.100.7, 10.0.0.2,192.0.2.1", "198.51.100.7", "three proxies"],
  ["10.0.0.1", "203.0.113.66, 198.51.100.7", "198.51.100.7", "the client's own entry is further left"],
  ["10.0.0.1", "10.0.0.9, 198.51.100.7, 10.0.0.2", "198.51.100.7", "a client that claims to be a proxy"],
  ["198.51.100.7", "203.0.113.66", "198.51.100.7", "a caller other than a proxy is not believed"],
  ["10.0.0.1", undefined, "10.0.0.1", "a proxy without the header"],
  ["10.0.0.1", "", "10.0.0.1", "a proxy with an empty header"],
  ["10.0.0.1", "203.0.113.66, unknown", "10.0.0.1", "the list ends before an invalid address"],
  ["10.0.0.1", "203.0.113.66, , 10.0.0.2", "10.0.0.2", "the list ends at a gap"],
  ["10.0.0.1", "198.51.100.7:4711", "10.0.0.1", "an address with a port is invalid"],
  ["10.0.0.1", "10.0.0.3, 10.0.0.2", "10.0.0.3", "a proxy that calls on its own behalf"],
  ["::ffff:10.0.0.1", "::ffff:198.51.100.7", "198.51.100.7", "both as a dual-stack socket writes them"],
  [
    "::ffff:198.51.100.7",
    undefined,
    "198.51.100.7",
    "without a proxy too, else all of IPv4 would be one caller",
  ],
  ["::FFFF:a00:1", "2001:DB8:2::7, 2001:db8:1::1", "2001:db8:2::7", "IPv6"],
])("%s with X-Forwarded-For %j is %s: %s", (peer, header, address, _why) => {
  expect(clientAddress(peer, header, proxies)).toBe(address);
  expect(clientAddress(peer, header, new Networks([]))).toBe(clientAddress(peer, undefined, proxies));
});

test("a client cannot forge its address in the header: the proxy's entry counts", () => {
  const address = fc.oneof(fc.ipV4(), fc.ipV6(), fc.constant("10.0.0.1"));
  const written = fc.oneof(
    fc.string(),
    fc.array(fc.oneof(address, fc.string())).map((hops) => hops.join(",")),
  );
  const caller = fc.oneof(
    fc.tuple(fc.integer({ min: 11, max: 126 }), fc.nat(255)).map(([a, b]) => `${a}.0.${b}.7`),
    fc.integer({ min: 1, max: 0xffff }).map((n) => `2001:db8:2::${n.toString(16)}`),
  );
  const between = fc.array(fc.nat(255).map((n) => `10.1.2.${n}`));
  fc.assert(
    fc.property(written, caller, between, (lies, truth, hops) => {
      const header = [lies, truth, ...hops].join(", ");
      expect(clientAddress("10.0.0.1", header, proxies)).toBe(truth);
      expect(clientAddress(truth, header, proxies)).toBe(truth);
    }),
  );
});

test("the log says once that a proxy seems to be missing from --trusted-proxies", async () => {
  const warnings = async (flags: Record<string, string>) => {
    const server = await startServer(flags);
    const headers = { "x-forwarded-for": "198.51.100.7" };
    for (let times = 0; times < 3; times += 1) await http(`${server.url}/healthz`, { headers });
    return server.log.filter((line) => line.includes("--trusted-proxies"));
  };
  expect(await warnings({})).toEqual([expect.stringContaining("X-Forwarded-For came from 127.0.0.1")]);
  expect(await warnings({ "trusted-proxies": "127.0.0.1" })).toEqual([]);
});

/** Returns the status of a poll by a node registered for one address, with this X-Forwarded-For. */
async function pollFrom(flags: Record<string, string>, registered: string) {
  const server = await startServer(flags);
  const { body } = await server.api("add-node", { name: "pi", ip_address: registered });
  return async (forwardedFor: string) => {
    const headers = { authorization: `Bearer ${body.sync_key}`, "x-forwarded-for": forwardedFor };
    return (await http(`${server.url}/sync/v1/maps`, { headers })).status;
  };
}

test("a node behind a trusted proxy is known by its own address, and no header gives that address to others", async () => {
  const trusting = await pollFrom({ "trusted-proxies": "127.0.0.0/8, ::1" }, "198.51.100.7");
  expect(await trusting("198.51.100.7")).toBe(200);
  expect(await trusting("203.0.113.66, 198.51.100.7, 127.0.0.2")).toBe(200);
  expect(await trusting("198.51.100.7, 203.0.113.66")).toBe(403);
  expect(await trusting("")).toBe(403);
});

test("without trusted proxies X-Forwarded-For is ignored", async () => {
  const direct = await pollFrom({}, "198.51.100.7");
  expect(await direct("198.51.100.7")).toBe(403);
  const local = await pollFrom({ "trusted-proxies": "10.0.0.0/8" }, "127.0.0.1");
  expect(await local("198.51.100.7")).toBe(200);
});

test("a waiting node's address is checked again when it is woken", async () => {
  const server = await startServer({ "trusted-proxies": "127.0.0.1" });
  const { must } = testRuntime(server.store);
  const { sync_key } = await must("add-node", { name: "pi", ip_address: "198.51.100.7" });
  const headers = { authorization: `Bearer ${sync_key}`, "x-forwarded-for": "198.51.100.7" };
  const maps = `${server.url}/sync/v1/maps`;
  const { etag = "" } = (await http(maps, { headers })).headers;
  const waiting = http(maps, { headers: { ...headers, "if-none-match": etag, prefer: "wait=55" } });
  await must("set-node", { name: "pi", ip_address: "198.51.100.8" });
  await must("add-domain", { domain: "example.nl" });
  expect((await waiting).status).toBe(403);
});

test.each(["proxy.example", "10.0.0.0/33", "10.0.0.0/8;::1", "::ffff:10.0.0.0/104"])(
  "--trusted-proxies %s is wrong usage",
  async (value) => {
    const answer = await m25mail(["serve", "--db", "/nonexistent/m25.db", "--trusted-proxies", value]);
    expect(answer).toMatchObject({ code: 2, stderr: expect.stringContaining("--trusted-proxies takes IP") });
  },
);
