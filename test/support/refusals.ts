import { mkdirSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { failure } from "../../db/postgres/errors.ts";
import { backUp } from "../../db/sqlite/backup.ts";
import { unavailable } from "../../db/sqlite/errors.ts";
import { restore } from "../../db/sqlite/restore.ts";
import { lockRestore } from "../../db/sqlite/restore-lock.ts";
import { seedDatabase } from "../../db/sqlite/seed.ts";
import { openStore } from "../../db/sqlite/store.ts";
import { MailError } from "../../src/mail/error.ts";
import { refuseLeftover } from "../../src/program/first-token.ts";
import { unconfirmed } from "../../tools/call/call.ts";
import { operator, type Principal } from "../../tools/call/principal.ts";
import { tooMany } from "../../tools/call/rate-limit.ts";
import { http } from "./http.ts";
import { rawDatabase } from "./recount.ts";
import { startServer } from "./server.ts";
import { PASSWORD, temporaryFolder, testRuntime, testStore, toolOf } from "./store.ts";

const jan = "jan@example.nl";
const piet = "piet@example.nl";
const password = PASSWORD;
const reader: Principal = { name: "r", door: "mcp", scopes: new Set(["read"]) };
export const tenant: Principal = {
  ...operator("cli"),
  name: "t",
  door: "mcp",
  domains: new Set(["example.nl"]),
};

/** Refusals on a database with one of each thing. Piet's mailbox is inactive. */
const refused: ReadonlyArray<[endpoint: string, input: object, principal?: Principal]> = [
  ["add-domain", {}],
  ["add-domain", { domain: "bakery" }],
  ["add-domain", { domain: "bakery.nl." }],
  ["add-domain", { domain: "a_b.nl" }],
  ["add-domain", { domain: "example.nl" }],
  ["add-domain", { domain: "gmail.com" }],
  ["add-domain", { domain: "other.nl" }, reader],
  ["add-domain", { domain: "other.nl" }, { ...reader, door: "stdio" }],
  ["add-domain", { domain: "other.nl" }, tenant],
  ["remove-domain", { domain: "example.nl" }],
  ["remove-domain", { domain: "other.nl" }],
  ["remove-domain", { domain: "other.nl" }, tenant],
  ["list-domains", { limit: 0 }],
  ["list-domains", { cursor: "nonsense" }],
  ["add-user", { email: jan }],
  ["add-user", { email: jan, password }],
  ["add-user", { email: "jan@other.nl", password }],
  ["add-user", { email: "o'brien@example.nl", password }],
  ["add-user", { email: "jörg@example.nl", password }],
  ["add-user", { email: "jan+shop@example.nl", password }],
  ["add-user", { email: "jan", password: "short" }],
  ["add-user", { email: "kees@example.nl", password: "password" }],
  ["add-user", { email: "kees@example.nl", password, quota_mb: 0, colour: 1 }],
  ["add-user", { email: "jané@example.nl", password: "a\u0000234567" }],
  ["add-user", { email: `${"a".repeat(64)}@${`${"b".repeat(63)}.`.repeat(3)}nl`, password: "a\ud8004567" }],
  ["add-user", { email: "kees@example.nl", password: "a\u200b234567" }],
  ["add-user", { email: "kees@example.nl", password: "12345678".repeat(10) }],
  ["add-user", { email: "kees@example.nl", password: "kees@example.nl" }],
  ["add-user", { email: "kees@example.nl", password: `$2b$10$${"a".repeat(53)}` }],
  ["remove-user", { email: "kees@example.nl" }],
  ["remove-user", { email: "kees@other.nl" }],
  ["list-users", { search: "jan@a@b" }],
  ["list-users", { search: "@example" }],
  ["list-users", { search: "jan!" }],
  ["list-users", { search: "jan@a!" }],
  ["list-usage", { domain: "example.nl", order: "largest", inactive_days: 30 }],
  ["update-password", { email: piet, password }],
  ["add-node", { name: "pi" }],
  ["add-node", { name: "Pi 1" }],
  ["add-node", { name: "pi2", ip_address: "999" }],
  ["list-nodes", {}, tenant],
  ["set-node", { name: "other", role: "mx" }],
  ["accept-removals", {}],
  ["rename-user", { email: jan, new_email: jan }],
  ["rename-user", { email: jan, new_email: piet }],
  ["purge-user", { email: jan }],
  ["rotate-dkim", { domain: "example.nl" }],
  ["restore-user", { email: jan }],
  ["create-token", { name: "claude" }],
  ["create-token", { name: "new", expires: "2020-01-01" }],
  ["create-token", { name: "new", scopes: ["nodes"], domains: ["example.nl"] }],
  ["revoke-token", { name: "other" }],
  ["set-alias", { address: "info@example.nl", targets: ["nobody@example.nl"] }],
  ["set-alias", { address: jan, targets: [jan] }],
  ["set-alias", { address: "one@example.nl", targets: ["two@example.nl"] }],
  ["set-alias", { address: "@example.nl", targets: [jan], send_as: true }],
  ["remove-alias", { address: "none@example.nl" }],
  ["approve-alias", { address: "one@example.nl", targets: ["x@out.nl"] }],
  ["set-domain-alias", { domain: "none.nl", of: null }],
  ["set-domain-alias", { domain: "example.nl", of: "example.nl" }],
  ["set-domain-alias", { domain: "other.nl", of: "example.nl" }, tenant],
  ["add-domain", { domain: "further.nl" }],
  ["remove-domain", { domain: "empty.nl" }],
  ["add-oauth-client", { name: "app", redirect_uris: ["https://example.nl/"] }],
  ["remove-oauth-client", { name: "other" }],
  ["revoke-oauth-grant", { id: "00000000" }],
];

/** Refusals of calls, for the door to word. `toOthers`: the operator at the shell never reads it. */
export async function callRefusals(): Promise<Array<[call: string, error: MailError, toOthers: boolean]>> {
  const { must, run, runtime } = testStore();
  await must("add-domain", { domain: "example.nl" });
  for (const email of [jan, piet]) await must("add-user", { email, password });
  await must("remove-user", { email: piet });
  await must("add-node", { name: "pi" });
  await must("create-token", { name: "claude" });
  await must("add-oauth-client", { name: "app", redirect_uris: ["https://example.nl/"] });
  await must("set-alias", { address: "one@example.nl", targets: [jan] });
  await must("set-alias", { address: "two@example.nl", targets: ["one@example.nl"] });
  await must("set-domain-alias", { domain: "further.nl", of: "example.nl" });
  await must("add-domain", { domain: "empty.nl" });
  await must("set-alias", { address: "info@empty.nl", targets: [jan] });
  const found: Array<[string, MailError, boolean]> = [];
  for (const [endpoint, input, principal] of refused) {
    const outcome = await run(endpoint, input, principal);
    if (outcome.ok) throw new Error(`${endpoint} was done`);
    found.push([`${endpoint} ${JSON.stringify(input)}`, outcome.error, principal !== undefined]);
  }
  for (const answer of ["declined", "cancelled"] as const) {
    const input = { domain: "example.nl" };
    const asked = { principal: operator("cli"), tool: toolOf("remove-domain"), input };
    const error = await unconfirmed(runtime, asked, answer);
    found.push([`remove-domain, ${answer}`, error, true]);
  }
  found.push(["too many calls", tooMany("calls", 2), true]);
  return found;
}

/** Refusals for the state of the database or its disk, which any door may give. */
export function databaseRefusals(): Array<[what: string, error: MailError]> {
  const refusal = (engine: string, code: string, error: MailError | undefined): [string, MailError] => {
    if (error === undefined) throw new Error(`${code} is no refusal`);
    return [`${engine}${code}`, error];
  };
  const thrown = (code: string) => Object.assign(new Error(), { code });
  const ofSqlite = ["SQLITE_FULL", "SQLITE_BUSY", "SQLITE_READONLY", "SQLITE_CORRUPT", "SQLITE_IOERR"];
  const ofPostgresql = ["53100", "55P03", "28P01", "3D000", "42501", "25006", "57P01", "CERT_HAS_EXPIRED"];
  return [
    ...ofSqlite.map((code) => refusal("", code, unavailable(thrown(code)))),
    ...ofPostgresql.map((code) => refusal("PostgreSQL ", code, failure(thrown(code)))),
  ];
}

/** Refusals of what only the shell does with a database and its files. */
export async function fileRefusals(): Promise<Array<[what: string, error: MailError]>> {
  const folder = temporaryFolder();
  const at = (name: string) => join(folder, name);
  const database = at("m25-mail.db");
  for (const path of [database, at("newer.db"), at("linked.db")])
    await openStore(path, { create: true }).close();
  rawDatabase(at("newer.db")).exec("PRAGMA user_version = 999").close();
  rawDatabase(at("other.db")).exec("CREATE TABLE t (a)").close();
  writeFileSync(at("text"), "");
  writeFileSync(at("first-token"), "");
  symlinkSync("text", at("linked.db.restore-lock"));
  mkdirSync(at("busy"));
  await openStore(at("busy/m25-mail.db"), { create: true }).close();
  const seed = { domains: 1, users: 1, passwordHash: "", at: "2026-03-01T12:00:00.000Z" };
  await seedDatabase(database, seed);
  const unlock = lockRestore(at("busy/m25-mail.db"));
  const failures: ReadonlyArray<[what: string, run: () => unknown]> = [
    ["no database", () => openStore(at("none.db"), { create: false })],
    ["another program's database", () => openStore(at("other.db"), { create: false })],
    ["a newer version's database", () => openStore(at("newer.db"), { create: false })],
    ["a first token without a database", () => refuseLeftover(at("none.db"), folder)],
    ["backup into no folder", () => backUp(database, at("none/backup"))],
    ["backup over another file", () => backUp(database, at("text"))],
    ["backup over the database", () => backUp(database, database)],
    ["restore from no file", () => restore(database, at("none"))],
    ["restore from another file", () => restore(database, at("text"))],
    ["restore over a link", () => restore(at("linked.db"), at("newer.db"))],
    ["two restores", () => restore(at("busy/m25-mail.db"), at("newer.db"))],
    ["seed twice", () => seedDatabase(database, seed)],
  ];
  const found: Array<[string, MailError]> = [];
  for (const [what, run] of failures) {
    const error = await Promise.resolve()
      .then(run)
      .then(
        () => undefined,
        (thrown: unknown) => thrown,
      );
    if (!(error instanceof MailError)) throw new Error(`${what}: ${error}`);
    found.push([what, error]);
  }
  unlock();
  return found;
}

interface Problem {
  code: string;
  detail: string;
  hint: string;
}

/** Refusals of requests before a call, as HTTP answers them. */
export async function requestRefusals(): Promise<Array<[request: string, problem: Problem]>> {
  const { url, token, store } = await startServer();
  const { must } = testRuntime(store);
  const key = async (name: string, ip?: string) =>
    String((await must("add-node", { name, ...(ip !== undefined && { ip_address: ip }) })).sync_key);
  const as = (bearer: string) => ({ authorization: `Bearer ${bearer}`, "content-type": "application/json" });
  const node = as(await key("pi"));
  await must("rotate-key", { name: "pi" });
  const elsewhere = as(await key("far", "192.0.2.1"));
  const requests: ReadonlyArray<
    [method: string, path: string, headers: Record<string, string>, body?: string]
  > = [
    ["GET", "/api/list-users", {}],
    ["GET", "/api/nothing", as(token)],
    ["POST", "/api/list-users", as(token)],
    ["GET", "/api/list-users", { ...as(token), host: "elsewhere.example" }],
    ["GET", "/api/list-users", { ...as(token), origin: "https://elsewhere.example" }],
    ["POST", "/api/add-domain", as(token), "{"],
    ["POST", "/api/add-domain", as(token), `"${"x".repeat(100_000)}"`],
    ["GET", "/sync/v1/maps", {}],
    ["GET", "/sync/v1/maps", elsewhere],
    ["POST", "/sync/v1/report", node, "{}"],
    ["POST", "/sync/v1/usage", node, "{}"],
    ["POST", "/sync/v1/dkim", node, "{}"],
    ["POST", "/sync/v1/key", node, "{}"],
  ];
  const found: Array<[string, Problem]> = [];
  for (const [method, path, headers, body] of requests) {
    const answer = await http(`${url}${path}`, { method, headers, body });
    found.push([`${method} ${path} ${Object.keys(headers).join(" ")}`, JSON.parse(answer.body)]);
  }
  return found;
}
