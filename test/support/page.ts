import { randomBytes } from "node:crypto";
import type { ServeOptions } from "../../src/program/serve.ts";
import type { Report } from "../../src/sync/report.ts";
import { PasswordHasher } from "../../tools/call/password-hash.ts";
import { appliedReport } from "./applied-report.ts";
import { Browser, field, OPERATOR_PASSWORD } from "./oauth.ts";
import { startServer, type TestServer } from "./server.ts";
import { HASH_COST, testRuntime } from "./store.ts";

export interface PageServer extends TestServer {
  /** Runs an operation as the operator at the shell. */
  must: ReturnType<typeof testRuntime>["must"];
}

/** Sets the operator's password as the shell does. */
export async function setPassword({ store }: Pick<TestServer, "store">, password: string): Promise<void> {
  const hash = await new PasswordHasher(HASH_COST).hash(password);
  await store.write((tables) => tables.operator.setPasswordHash(hash, new Date().toISOString()));
}

/** The real server, with an operator's password. */
export async function startPageServer(
  flags: Record<string, string> = {},
  options: ServeOptions & { now?: () => Date } = {},
): Promise<PageServer> {
  const server = await startServer(flags, options);
  await setPassword(server, OPERATOR_PASSWORD);
  return { ...server, must: testRuntime(server.store).must };
}

/** Adds a node whose last call was at `at`, with this report. */
export async function addNode(
  { store, must }: Pick<PageServer, "store" | "must">,
  name: string,
  report: Partial<Report>,
  at = new Date(),
): Promise<string> {
  const { sync_key } = await must("add-node", { name });
  const nodes = await store.read((tables) => tables.nodes.page(1000));
  const id = nodes.find((node) => node.name === name)?.id ?? 0;
  await store.recordContacts({
    nodes: new Map([[id, "192.0.2.9"]]),
    tokens: new Set(),
    at: at.toISOString(),
  });
  const whole = { ...(await appliedReport(store)), ...report };
  await store.write((tables) => tables.nodes.recordReport(id, whole, at.toISOString()));
  return String(sync_key);
}

export const withheld = (count: number): Partial<Report> => ({
  status: "withheld",
  reason: "removals_withheld",
  count,
});

/** A browser without a display, in which the operator has signed in. */
export async function signedInBrowser({ url }: Pick<TestServer, "url">, origin?: string): Promise<Browser> {
  const browser = new Browser(url, origin);
  const { body } = await browser.get("/");
  const answer = await browser.post("/page/sign-in", [
    ["csrf", field(body, "csrf")],
    ["password", OPERATOR_PASSWORD],
  ]);
  if (answer.status !== 303) throw new Error(`signing in was answered ${answer.status}`);
  return browser;
}

/** Example data for every part of the page. */
export async function fill(server: PageServer): Promise<void> {
  const { must } = server;
  const domains: ReadonlyArray<[name: string, mailboxes: number]> = [
    ["bakery.example", 3],
    ["shop.example", 5],
    ["school.example", 8],
  ];
  for (const [domain, mailboxes] of domains) {
    await must("add-domain", { domain });
    for (let n = 1; n <= mailboxes; n += 1) {
      await must("add-user", { email: `person${n}@${domain}`, password: "correct horse battery" });
    }
  }
  await must("remove-user", { email: "person3@bakery.example" });
  await must("set-alias", {
    address: "info@shop.example",
    targets: ["person1@shop.example", "boss@partner.example"],
  });
  await must("set-alias", { address: "person1@shop.example", targets: ["me@home.example"] });
  await addNode(server, "pi-amsterdam", {});
  await addNode(server, "pi-utrecht", withheld(120));
  await addNode(server, "pi-zwolle", {}, new Date(Date.now() - 3 * 3_600_000));
  await must("add-node", { name: "pi-leiden", ip_address: "192.0.2.7" });
  await must("create-token", { name: `bakery-${randomBytes(2).toString("hex")}`, scopes: ["read", "write"] });
}
