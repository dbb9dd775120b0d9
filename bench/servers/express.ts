import type { IncomingMessage, Server, ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { openStore } from "../../db/sqlite/store.ts";
import type { StateSummary } from "../../db/store.ts";
import { bearerCredential } from "../../src/auth/bearer.ts";
import { LastSeen } from "../../src/auth/last-seen.ts";
import { AllowedHosts } from "../../src/doors/http/hosts.ts";
import { stderrLog } from "../../src/log/log.ts";
import { stateTag } from "../../src/sync/answer.ts";
import { wholeView } from "../../src/sync/view.ts";
import { credentialId, credentialMatches } from "../../tools/call/credential.ts";
import { peerRequire } from "../support.ts";

/** The part of Express that is used here. */
interface Response extends ServerResponse {
  locals: Record<string, unknown>;
  status(code: number): Response;
  set(name: string, value: string): Response;
  sendStatus(code: number): Response;
}
type Handler = (request: IncomingMessage, response: Response, next: () => void) => unknown;
interface Router {
  use(handler: Handler): void;
  use(path: string, router: Router): void;
  get(path: string, handler: Handler): void;
}
interface Application extends Router {
  disable(setting: string): void;
  listen(port: number, host: string, listening: () => void): Server;
}
interface Express {
  (): Application;
  Router(): Router;
}

/** The same poll on Express 5 in its usual style: the product's own guard, store and functions as middleware. */
const express = peerRequire("express") as Express;
const store = openStore(process.argv[2] ?? "", { create: false });
const lastSeen = new LastSeen(store, stderrLog());
const hosts = new AllowedHosts([]);

const app = express();
app.disable("x-powered-by");
app.use((request, response, next) => {
  const { host, origin } = request.headers;
  if (hosts.allowsHost(host) && hosts.allowsOrigin(origin)) next();
  else response.sendStatus(403);
});

const sync = express.Router();
sync.use(async (request, response, next) => {
  const polls = await store.polls.look();
  const key = bearerCredential(request.headers.authorization);
  const id = credentialId("syncKey", key);
  const node = id === undefined ? undefined : await polls.node(id);
  if (node === undefined || !credentialMatches(key, node.keyHash)) return response.sendStatus(401);
  lastSeen.node(node.id, request.socket.remoteAddress ?? "", new Date());
  response.locals.state = await polls.state(wholeView);
  return next();
});
sync.get("/maps", (request, response) => {
  const etag = stateTag(response.locals.state as StateSummary);
  response.set("cache-control", "no-store").set("etag", etag);
  if (request.headers["if-none-match"] === etag) response.status(304).end();
  else response.sendStatus(500); // maps are not measured here
});
app.use("/sync/v1", sync);

const server = app.listen(0, "127.0.0.1", () => {
  process.stderr.write(`serves http://127.0.0.1:${(server.address() as AddressInfo).port}\n`);
});
server.keepAliveTimeout = 90_000;
process.once("SIGTERM", () => process.exit());
