import { existsSync } from "node:fs";
import { describe, expect, onTestFinished, test } from "vitest";
import type { Principal } from "../../../tools/call/principal.ts";
import { appliedReport } from "../../support/applied-report.ts";
import { NSD, ownAddress, startNameServer } from "../../support/name-server.ts";
import { expectRefusal } from "../../support/outcome.ts";
import { type TestStore, testRuntime, testStore, toolOf } from "../../support/store.ts";

const example = { domain: "example.nl" };

const ZONE = `@ MX 10 mail
@ MX 20 mx2
mail A 192.0.2.25
mx2 A 192.0.2.26
@ TXT "v=spf1 mx -all"
_dmarc TXT "v=DMARC1; p=none"`;

const POINTERS = `25.2.0.192.in-addr.arpa. PTR mail.example.nl.
26.2.0.192.in-addr.arpa. PTR mx2.example.nl.`;

/** A store with two domains and these nodes, each of which has reported its host name. */
async function withNodes(
  nodes: Readonly<Record<string, { role?: string; domains?: string[] | undefined; host?: string }>>,
): Promise<TestStore> {
  const opened = testStore();
  const { store, must } = opened;
  await must("add-domain", example);
  await must("add-domain", { domain: "example.org" });
  for (const [name, { role = "mail", domains = "all", host }] of Object.entries(nodes)) {
    await must("add-node", { name });
    await must("set-node", { name, role, domains });
    const report = { ...(await appliedReport(store)), ...(host && { host }) };
    await store.write(async ({ nodes: table }) => {
      const id = (await table.all()).find((node) => node.name === name)?.id ?? 0;
      await table.recordReport(id, report, "2026-11-29T12:00:00Z");
    });
  }
  return opened;
}

const two = { pi: { host: "mail.example.nl" }, mx: { role: "mx", host: "mx2.example.nl" } };

describe.skipIf(!existsSync(NSD))("with name servers", () => {
  test("a domain's records are compared with the host names that its nodes reported", async () => {
    const { store } = await withNodes({
      ...two,
      elsewhere: { domains: ["example.org"], host: "mail.example.org" },
    });
    const nameServer = ownAddress();
    onTestFinished(await startNameServer(nameServer, { "example.nl": ZONE, ".": POINTERS }));
    const { runtime, run } = testRuntime(store);
    runtime.settings = { nameServer };
    const outcome = await run("check-domain", example);
    if (!outcome.ok) throw outcome.error;
    toolOf("check-domain").output.strict().parse(outcome.value);
    const { ready, records, zone } = outcome.value as {
      ready: boolean;
      zone: string;
      records: Array<{ name: string; type: string; expected: string; state: string; optional: boolean }>;
    };
    expect(records.filter(({ state, optional }) => state !== "ok" && !optional)).toEqual([]);
    expect({ ready, zone }).toEqual({ ready: true, zone: "" });
    expect(records[0]?.expected).toBe("20 mx2.example.nl.\n10 mail.example.nl.");
    expect(records.filter(({ type }) => type === "PTR")).toHaveLength(2);
  });

  test("while DNS is asked, the database is free for changes", async () => {
    const { store } = await withNodes(two);
    const { runtime, run, must } = testRuntime(store);
    runtime.settings = { nameServer: ownAddress() }; // nobody answers there
    let isOver = false;
    const checking = run("check-domain", example).finally(() => {
      isOver = true;
    });
    await must("add-domain", { domain: "bakery.example" });
    expect(isOver).toBe(false);
    expect(await checking).toMatchObject({ ok: true, value: { ready: false, zone: "" } });
  });
});

test("a domain that is not registered, or another tenant's, is not looked up", async () => {
  const { run } = await withNodes(two);
  expectRefusal(await run("check-domain", { domain: "example.com" }), "domain_not_found");
  const scopes = new Set(["read"] as const);
  const tenant: Principal = { name: "tenant", door: "rest", scopes, domains: new Set(["example.org"]) };
  expectRefusal(await run("check-domain", example, tenant), "domain_not_found");
});

test("without a node that has reported its host name there is nothing to compare with", async () => {
  const { run } = await withNodes({ pi: {}, other: { domains: ["example.org"], host: "mail.example.org" } });
  expectRefusal(await run("check-domain", example), "node_not_found");
});
