import type { AddressInfo } from "node:net";
import type { Store } from "../../db/store.ts";
import type { Runtime } from "../../tools/call/call.ts";
import { CallLimits } from "../../tools/call/call-limits.ts";
import { FairQueue } from "../../tools/call/fair-queue.ts";
import { offeredTools } from "../../tools/sets/index.ts";
import { LastSeen } from "../auth/last-seen.ts";
import type { OAuth, OAuthSettings } from "../auth/oauth/index.ts";
import { OperatorLogin } from "../auth/operator-login.ts";
import { PasswordCheck } from "../auth/password-check.ts";
import { RequestLog } from "../doors/http/request-log.ts";
import { type HttpSettings, httpServer } from "../doors/http/server.ts";
import { Confirmations } from "../doors/mcp/confirmation.ts";
import type { McpServerFactory } from "../doors/mcp/http.ts";
import { OpenedLinks } from "../doors/mcp/opened-links.ts";
import { mcpServer } from "../doors/mcp/server.ts";
import { sharedKey } from "../doors/shared-key.ts";
import { ChangeSignal } from "../doors/sync/change-signal.ts";
import type { ThrottleClocks } from "../doors/sync/wake-throttle.ts";
import { type Log, logFailure } from "../log/log.ts";
import { Metrics } from "../log/metrics.ts";
import { Networks } from "../mail/network.ts";
import { Publisher } from "../sync/publisher.ts";
import type { ServeConfig } from "./config.ts";
import { startDkimLooks } from "./dkim-looks.ts";
import { provideFirstToken } from "./first-token.ts";
import { startHousekeeping } from "./housekeeping.ts";
import { builtNodePackage } from "./node-package.ts";
import { watchClock } from "./retention.ts";

/** How long a stopping server waits for running requests, in ms. All waiting passwords need less. */
const STOP_GRACE = 5_000;

/** Running calls of one principal, by all doors together: a second may run while the first one's password is hashed. */
const CALLS_AT_ONCE = 2;
/** Waiting calls of one principal. */
const MOST_CALLS_WAITING = 64;

/** How often maps of former states are dropped, in ms. The database's log keeps such data as long. */
const DROP_EVERY = 30_000;

const loopback = new Networks(["127.0.0.0/8", "::1"]);

/** A listening server; `url` is its address on this machine. */
export interface RunningServer {
  url: string;
  /** True if it has made the database's first token. */
  isFirstStart: boolean;
  close(): Promise<void>;
}

export interface ServeOptions {
  /** Fetches metadata documents of OAuth clients. */
  fetch?: (url: string, options: RequestInit) => Promise<Response>;
  /** For the conformance suite, which adds fixtures to the nine tools. */
  mcpServerFor?: McpServerFactory;
  /** Time after which a connection without traffic is cut, in ms; tests shorten it. */
  idleTimeout?: number;
  /** Clocks that limit how often waiting nodes are woken. */
  throttleClocks?: ThrottleClocks;
}

/** Starts the server of `m25-mail serve`. It closes the store when it closes. */
export async function serve(
  config: ServeConfig,
  bare: Runtime,
  log: Log,
  options: ServeOptions = {},
): Promise<RunningServer> {
  const { store } = bare;
  const isClockPlausible = await watchClock(store, () => bare.now(), log);
  const metrics = new Metrics();
  const requestLog = new RequestLog(metrics, log);
  const unlimited = watched(bare, metrics, requestLog);
  const isFirstStart = await provideFirstToken(store, unlimited, config.folder, log);
  const runtime = limited(unlimited, config);
  const offered = await offeredTools(config.tools, config["read-only"]);
  const mcp = {
    runtime,
    tools: offered,
    confirmations: new Confirmations(await sharedKey(store, "confirmation")),
    links: new OpenedLinks(await sharedKey(store, "opened links")),
  };
  const publisher = new Publisher(store, config.folder);
  const lastSeen = new LastSeen(store, log);
  const login = new OperatorLogin(store, config["hash-cost"]);
  const oauth = await oauthOf(config, { runtime, login, log, fetch: options.fetch ?? globalThis.fetch });
  const app = await httpServer(
    {
      runtime,
      store,
      publisher,
      changes: new ChangeSignal(store, options.throttleClocks),
      lastSeen,
      tools: offered,
      mcpServerFor: options.mcpServerFor ?? ((principal, origin) => mcpServer(mcp, principal, origin)),
      login,
      ownerPasswords: new PasswordCheck(config["hash-cost"]),
      oauth,
      metrics,
      requestLog,
      log,
    },
    { ...httpSettings(config), idleTimeout: options.idleTimeout },
  );
  const url = await app.listen({ host: config.host, port: config.port });
  const auditDays = config["audit-retention"];
  if (auditDays !== undefined) await keepAudit(store, runtime, auditDays);
  const housekeeping = startHousekeeping(runtime, log, isClockPlausible, config["purge-inactive-after"]);
  const dkimLooks = startDkimLooks(runtime, log);
  await warnOfLoss(store, log);
  const drops = setInterval(() => void dropOldMaps(publisher, log), DROP_EVERY).unref();
  logAddresses(
    app.addresses().filter((address) => typeof address !== "string"),
    config,
    log,
  );
  return {
    url,
    isFirstStart,
    async close() {
      log.info("m25-mail stops: waiting nodes are sent away, and running requests have five seconds to end");
      const batchEnded = housekeeping.stop();
      clearInterval(drops);
      const hangUp = setTimeout(() => app.server.closeAllConnections(), STOP_GRACE);
      await app.close();
      clearTimeout(hangUp);
      await batchEnded;
      await dkimLooks.stop();
      oauth?.close();
      await lastSeen.close();
      await publisher.close();
      await store.close();
    },
  };
}

/** The runtime with the limits for callers, and with the settings that results mention. */
function limited(runtime: Runtime, config: ServeConfig): Runtime {
  return {
    ...runtime,
    limits: new CallLimits({
      calls: config["limit-requests"],
      passwords: config["limit-passwords"],
      destructive: config["limit-destructive"],
    }),
    queue: new FairQueue({
      perKey: CALLS_AT_ONCE,
      waiting: MOST_CALLS_WAITING,
      what: "calls are under way",
    }),
    settings: {
      nodePackageSum: () => builtNodePackage()?.sum,
      publicUrl: config["public-url"],
      purgeInactiveAfter: config["purge-inactive-after"],
      nameServer: config["name-server"],
    },
  };
}

function httpSettings(config: ServeConfig): HttpSettings {
  const { host, "public-url": publicUrl, "tls-cert": certFile, "tls-key": keyFile } = config;
  return {
    allowedHosts: [
      ...config["allowed-hosts"],
      ...(publicUrl === undefined ? [] : [new URL(publicUrl).hostname]),
      ...(isWildcard(host) ? [] : [host]),
    ],
    trustedProxies: config["trusted-proxies"],
    publicUrl,
    isReadOnly: config["read-only"],
    requestsPerMinute: config["limit-requests"],
    tls: certFile === undefined || keyFile === undefined ? undefined : { certFile, keyFile },
  };
}

/** OAuth, if it is on. Its code is loaded only then. */
async function oauthOf(
  { oauth, "public-url": publicUrl, "oauth-clients": clients }: ServeConfig,
  { runtime, login, log, fetch }: { runtime: Runtime; log: Log } & Pick<OAuthSettings, "login" | "fetch">,
): Promise<OAuth | undefined> {
  if (!oauth || publicUrl === undefined) return undefined;
  const { openOAuth } = await import("../auth/oauth/index.ts");
  const settings = { issuer: new URL(publicUrl).origin, clients, login, fetch };
  return openOAuth(runtime.store, () => runtime.now(), log, settings);
}

async function dropOldMaps(publisher: Publisher, log: Log): Promise<void> {
  await publisher
    .dropOld()
    .catch((error: unknown) => logFailure(log, "old maps could not be dropped", error));
}

async function warnOfLoss(store: Store, log: Log): Promise<void> {
  const { isSynchronous } = await store.figures();
  if (isSynchronous !== false) return;
  log.warn(
    "a fail-over of PostgreSQL may lose the last changes: it has no synchronous standby (synchronous_standby_names)",
  );
}

/** Logs where the server listens, and warns if others may read what is sent there. */
function logAddresses(addresses: readonly AddressInfo[], config: ServeConfig, log: Log): void {
  const isEncrypted = config["tls-cert"] !== undefined;
  const urls = addresses
    .map(({ family, address, port }) => `${family === "IPv6" ? `[${address}]` : address}:${port}`)
    .map((authority) => `${isEncrypted ? "https" : "http"}://${authority}`)
    .join(" and ");
  const isBeyondLoopback = addresses.some(({ address }) => !loopback.has(address));
  if (!isEncrypted && config["trusted-proxies"].length === 0 && isBeyondLoopback) {
    log.warn(
      `tokens and passwords come to ${urls} unencrypted, from other machines too: give --tls-cert and --tls-key, or name in --trusted-proxies the proxy that has the certificate`,
    );
  }
  log.info(
    `m25-mail serves ${urls} (page at /, MCP at /mcp, REST at /api, nodes at /sync/v1), database ${config.db}`,
  );
}

/** Adds metrics of hashes and calls to a runtime, and its calls to the log lines of their requests. */
function watched(runtime: Runtime, metrics: Metrics, requestLog: RequestLog): Runtime {
  return {
    ...runtime,
    hashPassword: (password, principal) => metrics.countHash(runtime.hashPassword(password, principal)),
    observe(call) {
      metrics.call(call);
      requestLog.callEnded(call);
    },
  };
}

/** Stores the retention in the database, where its triggers use it, and records a change of it in the audit log. */
async function keepAudit(store: Store, runtime: Runtime, days: number | null): Promise<void> {
  const at = runtime.now().toISOString();
  await store.write(async ({ audit }) => {
    if ((await audit.retention()) === days) return;
    await audit.setRetention(days);
    const call = { tool: "set-audit-retention", arguments: { days } };
    await audit.append({ at, principal: "operator", door: "cli", ...call });
  });
}

function isWildcard(host: string): boolean {
  return host === "0.0.0.0" || host === "::";
}
