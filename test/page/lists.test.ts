import { expect, test } from "vitest";
import { WriteTrial } from "../../src/doors/write-trial.ts";
import { field } from "../support/oauth.ts";
import { addNode, signedInBrowser, startPageServer, withheld } from "../support/page.ts";
import { rawDatabase } from "../support/recount.ts";
import { PASSWORD } from "../support/store.ts";

const rows = (body: string) => body.split('<tr role="row"><td').length - 1;
const next = (body: string) =>
  /href="(\?[^"]*cursor=[^"]+)">Next page/.exec(body)?.[1]?.replaceAll("&#38;", "&");

test("an operator's acceptance is recorded with page, address and request, and happens once", async () => {
  const server = await startPageServer({ "trusted-proxies": "127.0.0.1" });
  await addNode(server, "pi", withheld(120));
  const browser = await signedInBrowser(server);
  const { body } = await browser.get("/page/accept?name=pi");
  const form: Array<[string, string]> = [
    ["csrf", field(body, "csrf")],
    ["name", "pi"],
    ["count", field(body, "count")],
  ];
  const answer = await browser.post("/page/accept", form, { "x-forwarded-for": "192.0.2.7" });
  expect([answer.status, answer.headers.location]).toEqual([303, "../"]);
  const { entries } = (await server.must("read-audit")) as { entries: Array<Record<string, unknown>> };
  expect(entries.filter(({ tool }) => tool === "accept-removals")).toEqual([
    expect.objectContaining({
      principal: "operator",
      door: "page",
      address: "192.0.2.7",
      request: expect.stringMatching(/^[0-9a-f]{8}-/),
      arguments: { name: "pi", all: false },
      outcome: "done",
    }),
  ]);
  const [entry] = entries.filter(({ tool }) => tool === "accept-removals");
  expect(server.log.filter((line) => line.includes(`"request":"${entry?.request}"`))).toHaveLength(1);
});

test("if a node now withholds more than the page showed, the operator is asked again", async () => {
  const server = await startPageServer();
  await addNode(server, "pi", withheld(120));
  const browser = await signedInBrowser(server);
  const { body } = await browser.get("/page/accept?name=pi");
  const asked: Array<[string, string]> = [
    ["csrf", field(body, "csrf")],
    ["name", "pi"],
  ];
  for (const count of ["3", "", "121"]) {
    const again = await browser.post("/page/accept", [...asked, ["count", count]]);
    expect(again.status).toBe(409);
    expect(again.body).toContain("Remove 120 mailboxes from pi?");
  }
  for (const name of ["other", "PI", "<b>"]) {
    const none = await browser.post("/page/accept", [
      ["csrf", field(body, "csrf")],
      ["name", name],
    ]);
    expect([404, 400]).toContain(none.status);
    expect(none.body).not.toContain("<b>");
  }
  const ended = await browser.post("/page/end-grant", [
    ["csrf", field(body, "csrf")],
    ["id", "00000000"],
  ]);
  expect(ended.status).toBe(404);
  const { entries } = (await server.must("read-audit")) as { entries: Array<Record<string, unknown>> };
  expect(entries.filter(({ tool }) => tool === "accept-removals")).toEqual([]);
});

test("an operator approves a target outside, or refuses it, and the audit log says so", async () => {
  const server = await startPageServer();
  const { must } = server;
  await must("add-domain", { domain: "a.nl" });
  await must("add-user", { email: "jan@a.nl", password: PASSWORD });
  await must("set-alias", { address: "info@a.nl", targets: ["boss@out.nl", "thief@out.nl"] });
  await must("set-alias", { address: "old@a.nl", targets: ["info@a.nl"] });
  await must("set-alias", { address: "@a.nl", targets: ["all@out.nl"] });
  const browser = await signedInBrowser(server);
  const overview = (await browser.get("/")).body;
  for (const [alias, target] of [
    ["info@a.nl", "boss@out.nl"],
    ["info@a.nl", "thief@out.nl"],
    ["@a.nl", "all@out.nl"],
  ] as const)
    expect(overview).toContain(`Decide: mail for ${alias} to ${target}`);
  const decide = async (alias: string, target: string, answer: string) => {
    const { body } = await browser.get(`/page/forward?${new URLSearchParams({ alias, target })}`);
    expect(body).toContain(`Let mail for ${alias} go to ${target}?`);
    const names = ["csrf", "alias", "target", "seen"];
    const given = names.map((name): [string, string] => [name, field(body, name)]);
    return browser.post("/page/forward", [...given, ["answer", answer]]);
  };
  expect((await decide("info@a.nl", "boss@out.nl", "approve")).status).toBe(303);
  expect((await browser.get("/")).body).toContain("Mail for info@a.nl now goes to boss@out.nl, too.");
  expect((await decide("info@a.nl", "thief@out.nl", "refuse")).status).toBe(303);
  expect((await decide("@a.nl", "all@out.nl", "refuse")).status).toBe(303);
  expect((await must("list-aliases")).aliases).toMatchObject([
    { address: "info@a.nl", targets: ["boss@out.nl"], live_targets: ["boss@out.nl"] },
    { address: "old@a.nl" },
  ]);
  expect((await browser.get("/")).body).not.toContain("Waits for you");
  const { entries } = (await must("read-audit")) as { entries: Array<Record<string, unknown>> };
  const answers = entries.filter(({ tool }) => /^(approve|refuse)-alias$/.test(String(tool)));
  expect(answers.map(({ tool, door, arguments: given }) => [tool, door, given])).toEqual([
    ["approve-alias", "page", { address: "info@a.nl", targets: ["boss@out.nl"], seen: expect.any(String) }],
    ["refuse-alias", "page", { address: "info@a.nl", target: "thief@out.nl" }],
    ["refuse-alias", "page", { address: "@a.nl", target: "all@out.nl" }],
  ]);
});

test("an operator is asked again if a target leads elsewhere than the page showed, and not for one that is gone", async () => {
  const server = await startPageServer();
  const { must } = server;
  await must("add-domain", { domain: "a.nl" });
  await must("add-user", { email: "jan@a.nl", password: PASSWORD });
  await must("set-alias", { address: "info@a.nl", targets: ["boss@out.nl"] });
  const browser = await signedInBrowser(server);
  const { body } = await browser.get("/page/forward?alias=info%40a.nl&target=boss%40out.nl");
  const names = ["csrf", "alias", "target", "seen"];
  const form = [...names.map((name): [string, string] => [name, field(body, name)]), ["answer", "approve"]];
  await must("set-alias", { address: "ceo@a.nl", targets: ["info@a.nl"] });
  const again = await browser.post("/page/forward", form as Array<[string, string]>);
  expect([again.status, again.body.includes("This has changed"), again.body.includes("ceo@a.nl")]).toEqual([
    409,
    true,
    true,
  ]);
  const unknown = form.map(([name, value]) => [name, name === "target" ? "x@out.nl" : value]);
  expect((await browser.post("/page/forward", unknown as Array<[string, string]>)).status).toBe(404);
  const { waiting } = await must("list-waiting-aliases");
  expect(waiting).toMatchObject([{ alias: "info@a.nl", target: "boss@out.nl" }]);
});

test("with --read-only the page shows everything and changes nothing", async () => {
  const server = await startPageServer({ "read-only": "true" });
  await addNode(server, "pi", withheld(120));
  const browser = await signedInBrowser(server);
  const { body } = await browser.get("/");
  expect(body).toContain("withholds the removal of 120 mailboxes");
  expect(body).not.toContain("page/accept");
  const form: Array<[string, string]> = [
    ["csrf", field(body, "csrf")],
    ["name", "pi"],
    ["count", "120 0 0"],
  ];
  const answer = await browser.post("/page/accept", form);
  expect([answer.status, answer.body.includes("--read-only")]).toEqual([403, true]);
});

test("the advice for a node shows the shell's commands as code", async () => {
  const server = await startPageServer();
  await server.must("add-node", { name: "pi" });
  const { body } = await (await signedInBrowser(server)).get("/page/nodes");
  expect(body).toContain(
    "If the key is lost, make another at the server&#39;s shell: <code>m25-mail node rotate-key pi</code>.",
  );
});

test("domains, nodes and changes are listed fifty a page, each once", async () => {
  const server = await startPageServer();
  const numbers = Array.from({ length: 120 }, (_, n) => String(n).padStart(3, "0"));
  for (const n of numbers) await server.must("add-domain", { domain: `d${n}.example` });
  for (const n of numbers) await server.must("add-node", { name: `n${n}` });
  const browser = await signedInBrowser(server);
  for (const [path, pattern, count] of [
    ["/page/domains", /<strong>(d\d+)\.example/g, 120],
    ["/page/nodes?status=never", /<strong>(n\d+)</g, 120],
    ["/page/changes", /name: (n\d+)|domain: (d\d+)/g, 241],
  ] as const) {
    const sizes: number[] = [];
    const seen: string[] = [];
    let address: string | undefined = path;
    while (address !== undefined) {
      const { body, status } = await browser.get(address);
      expect(status).toBe(200);
      sizes.push(rows(body));
      seen.push(...[...body.matchAll(pattern)].map((match) => match[1] ?? match[2] ?? ""));
      const query = next(body);
      address = query === undefined ? undefined : path.replace(/\?.*/, "") + query;
    }
    expect(sizes.every((size) => size <= 50)).toBe(true);
    expect(sizes.reduce((sum, size) => sum + size, 0)).toBeGreaterThanOrEqual(count - 1);
    expect(new Set(seen).size).toBe(seen.length);
    expect(seen).toHaveLength(path === "/page/changes" ? 240 : 120);
  }
  const { body } = await browser.get("/");
  expect(body).toContain("All 120 domains");
  expect(body).toContain("120 of 120 nodes have not joined yet");
  expect(rows(body)).toBeLessThan(80);
  await addNode(server, "broken", { status: "failed", reason: "disk_full" });
  const failing = (await browser.get("/")).body.split("Nodes that fail")[1]?.split("Domains")[0];
  expect(failing).toContain("<strong>broken<");
  expect(failing).not.toContain("<strong>n0");
  const changes = await browser.get("/page/changes");
  expect(changes.body.indexOf("n119")).toBeLessThan(changes.body.indexOf("n118"));
});

test("the page tells that the database takes no changes, and shows all the rest", async () => {
  const server = await startPageServer();
  const browser = await signedInBrowser(server);
  expect((await browser.get("/")).body).toContain('<span class="state good">yes</span>');
  // Another program keeps the lock for longer than a write waits.
  const other = rawDatabase(server.database);
  other.exec("BEGIN IMMEDIATE");
  const { status, body } = await browser.get("/");
  other.exec("ROLLBACK");
  expect(status).toBe(200);
  expect(body).toMatch(/<span class="state bad">no<\/span> \S+/);
  expect(body).toContain("No node serves this mail yet");
});

test("views of the overview that come together try one write, and a later one tries again", async () => {
  const { store } = await startPageServer();
  let writes = 0;
  const trial = new WriteTrial({
    write(work) {
      writes += 1;
      return store.write(work);
    },
  });
  expect(await Promise.all([trial.outcome(), trial.outcome(), trial.outcome()])).toEqual(
    Array(3).fill(undefined),
  );
  expect(writes).toBe(1);
  await trial.outcome();
  expect(writes).toBe(2);
});
