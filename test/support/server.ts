import { readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { onTestFinished } from "vitest";
import { openDatabase } from "../../db/open.ts";
import type { Store } from "../../db/store.ts";
import { type Log, type LogFields, logFailure } from "../../src/log/log.ts";
import { serveConfig } from "../../src/program/config.ts";
import { type ServeOptions, serve } from "../../src/program/serve.ts";
import { PasswordHasher } from "../../tools/call/password-hash.ts";
import { databaseAt, nameOf } from "./engine.ts";
import { HASH_COST, temporaryFolder } from "./store.ts";

export interface TestServer {
  url: string;
  /** An access token with all scopes. */
  token: string;
  database: string;
  store: Store;
  /** Every line that the server has logged. */
  log: string[];
  /** Calls a REST endpoint: POST if there is a body, else GET. */
  api(
    endpoint: string,
    body?: unknown,
    token?: string,
  ): Promise<{ status: number; body: Record<string, unknown> }>;
  close(): Promise<void>;
}

/** Starts the real server, with real but cheap hashes unless a flag says their cost, on a port that the system chooses, until the test ends. */
export async function startServer(
  flags: Record<string, string> = {},
  { now = () => new Date(), ...options }: ServeOptions & { now?: () => Date } = {},
): Promise<TestServer> {
  const file = nameOf(flags.db ?? join(temporaryFolder(), "m25-mail.db"));
  const database = await databaseAt(file);
  const log: string[] = [];
  const note = (message: string, fields?: LogFields) =>
    void log.push(`${message} ${JSON.stringify(fields ?? {})}`);
  const error = (message: string, cause?: unknown, fields?: LogFields) =>
    note(cause instanceof Error ? `${message}: ${cause.stack}` : message, fields);
  const logger: Log = { debug: note, info: note, warn: note, error };
  const config = serveConfig({ port: "0", folder: dirname(file), ...flags, db: database }, {});
  const store = await openDatabase(database, { create: true });
  const hasher = new PasswordHasher(flags["hash-cost"] === undefined ? HASH_COST : config["hash-cost"]);
  const runtime = {
    store,
    now,
    hashPassword: (password: string, principal: string) => hasher.hash(password, principal),
    reportFailure: (message: string, cause: unknown, reference: string) =>
      logFailure(logger, `${message} ${reference}`, cause),
  };
  const server = await serve(config, runtime, logger, options);
  let closed: Promise<void> | undefined;
  const close = () => {
    closed ??= server.close();
    return closed;
  };
  onTestFinished(close);
  const first = readFileSync(join(dirname(file), "first-token"), "utf8").trim();
  return {
    url: server.url,
    token: first,
    database,
    store,
    log,
    close,
    async api(endpoint, body, token = first) {
      const response = await fetch(`${server.url}/api/${endpoint}`, {
        method: body === undefined ? "GET" : "POST",
        headers: { authorization: `Bearer ${token}`, "content-type": "application/json" },
        ...(body !== undefined && { body: JSON.stringify(body) }),
      });
      return { status: response.status, body: (await response.json()) as Record<string, unknown> };
    },
  };
}
