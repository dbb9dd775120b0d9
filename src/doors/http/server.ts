import type { FastifyError, FastifyInstance, FastifyReply, FastifyRequest } from "fastify";
import type { Store } from "../../../db/store.ts";
import type { Runtime } from "../../../tools/call/call.ts";
import type { Tool } from "../../../tools/call/tool.ts";
import type { LastSeen } from "../../auth/last-seen.ts";
import type { OAuth } from "../../auth/oauth/index.ts";
import type { OperatorLogin } from "../../auth/operator-login.ts";
import type { PasswordCheck } from "../../auth/password-check.ts";
import type { Log } from "../../log/log.ts";
import type { Metrics } from "../../log/metrics.ts";
import { MailError } from "../../mail/error.ts";
import type { Publisher } from "../../sync/publisher.ts";
import { type McpServerFactory, mountMcp } from "../mcp/http.ts";
import { stepUp } from "../mcp/step-up.ts";
import { mountMetrics } from "../metrics.ts";
import { mountNodePackage } from "../node-package.ts";
import { mountClosedLinks, mountOwnerPage } from "../owner/index.ts";
import { mountPage } from "../page/index.ts";
import type { PageParts } from "../page/routes.ts";
import { mountRest } from "../rest.ts";
import type { ChangeSignal } from "../sync/change-signal.ts";
import { mountSync } from "../sync/index.ts";
import { WriteTrial } from "../write-trial.ts";
import { type AppSettings, createApp } from "./app.ts";
import { callerChecks } from "./caller-checks.ts";
import { type AnswerNotFound, noSuchPath, notFoundAnswer } from "./not-found.ts";
import { problemOf, sendProblem } from "./problem.ts";
import type { RequestLog } from "./request-log.ts";

export interface HttpParts {
  runtime: Runtime;
  store: Store;
  publisher: Publisher;
  changes: ChangeSignal;
  lastSeen: LastSeen;
  mcpServerFor: McpServerFactory;
  /** The operator's sign-in, for every page that asks for the password. */
  login: OperatorLogin;
  ownerPasswords: PasswordCheck;
  /** Set if clients may sign in by OAuth. */
  oauth?: OAuth | undefined;
  /** The tools that REST offers. */
  tools: readonly Tool[];
  metrics: Metrics;
  requestLog: RequestLog;
  log: Log;
}

export interface HttpSettings extends AppSettings {
  /** The server's address from outside. */
  publicUrl: string | undefined;
  isReadOnly: boolean;
  /** Limit for each principal, and for each address at routes that need no credential. */
  requestsPerMinute: number;
}

/** One server with all doors over HTTP. It does not listen yet. */
export async function httpServer(parts: HttpParts, settings: HttpSettings): Promise<FastifyInstance> {
  const { runtime, store, publisher, changes, lastSeen, metrics, oauth, log } = parts;
  const app = createApp(parts.requestLog, log, settings);
  const { authenticate, limitAddress } = callerChecks(parts, settings.requestsPerMinute);
  app.setErrorHandler((error: FastifyError, request, reply) => {
    const [problem, status] = problemOf(error, runtime, request.id);
    if (!(error instanceof MailError) && problem.code !== "internal") request.refused = problem.message;
    return sendProblem(reply, problem, status);
  });
  const answerNotFound = notFoundAnswer(app);
  await app.register(async (scope) => {
    scope.addHook("onRequest", authenticate("rest"));
    answerNotFound(scope);
  });
  // Clients look for OAuth metadata and register at these paths. After a 401 they would begin again.
  for (const prefix of ["/.well-known", "/register"]) {
    await app.register(async (scope) => answerNotFound(scope), { prefix });
  }
  await app.register(async (scope) => {
    scope.addHook("onRequest", limitAddress);
    await mountHealth(scope, store, answerNotFound);
    mountNodePackage(scope);
  });
  await app.register(async (scope) => {
    scope.addHook("onRequest", authenticate("mcp"));
    const answerForScope = oauth && stepUp(runtime, parts.tools, oauth.metadataUrl);
    const { mcpServerFor: serverFor, requestLog } = parts;
    await mountMcp(scope, { serverFor, hasCall: requestLog.hasCall, answerForScope, log });
    await scope.register(async (beside) => answerNotFound(beside), { prefix: "/mcp" });
  });
  await app.register(async (scope) => {
    scope.addHook("onRequest", authenticate("rest"));
    await mountRest(scope, runtime, parts.tools);
    mountMetrics(scope, runtime, metrics, () => changes.waiting);
  });
  await app.register(async (scope) => {
    scope.addHook("onRequest", limitAddress);
    await oauth?.mount(scope);
  });
  const takesLinks = parts.tools.some(({ endpoint }) => endpoint === "create-password-link");
  await app.register(async (scope) => {
    scope.addHook("onRequest", limitAddress);
    if (!takesLinks) return mountClosedLinks(scope);
    await mountOwnerPage(scope, { ...pagePartsOf(parts, settings), passwords: parts.ownerPasswords });
  });
  await app.register(async (scope) => {
    scope.addHook("onRequest", limitAddress);
    const known = authenticate("rest");
    const answerPrograms = async (request: FastifyRequest, reply: FastifyReply) =>
      (await known(request, reply)) ?? sendProblem(reply, noSuchPath(), 404);
    await mountPage(scope, pagePartsOf(parts, settings), answerPrograms);
  });
  const now = () => runtime.now();
  await app.register((scope) =>
    mountSync(scope, { store, publisher, changes, lastSeen, now }, log, answerNotFound),
  );
  return app;
}

async function mountHealth(
  scope: FastifyInstance,
  store: Store,
  answerNotFound: AnswerNotFound,
): Promise<void> {
  const trial = new WriteTrial(store);
  scope.get("/healthz", { exposeHeadRoute: true }, async (_request, reply) => {
    await store.polls.look();
    return reply.send({ status: "ok", database: store.engine, writes: await trial.tookLast() });
  });
  await scope.register(async (beside) => answerNotFound(beside), { prefix: "/healthz" });
}

function pagePartsOf(
  { runtime, store, login, log }: HttpParts,
  { publicUrl, isReadOnly, tls }: HttpSettings,
): PageParts {
  return { runtime, store, login, log, publicUrl, isReadOnly, hasTls: tls !== undefined };
}
