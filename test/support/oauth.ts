import { createHash, randomBytes } from "node:crypto";
import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { onTestFinished } from "vitest";
import { type HttpAnswer, http } from "./http.ts";
import { postMcp, rpc } from "./mcp.ts";
import { startServer, type TestServer } from "./server.ts";
import { HASH_COST, testRuntime } from "./store.ts";

export const OPERATOR_PASSWORD = "the operator's own password";

/** Metadata documents with the fields of the real ones. */
export const documents: Record<string, Record<string, unknown>> = {
  "https://claude.ai/oauth/mcp-oauth-client-metadata": {
    client_id: "https://claude.ai/oauth/mcp-oauth-client-metadata",
    client_name: "Claude",
    client_uri: "https://claude.ai",
    redirect_uris: ["https://claude.ai/api/mcp/auth_callback", "https://claude.com/api/mcp/auth_callback"],
    grant_types: ["authorization_code", "refresh_token"],
    response_types: ["code"],
    token_endpoint_auth_method: "none",
  },
  "https://claude.ai/oauth/claude-code-client-metadata": {
    client_id: "https://claude.ai/oauth/claude-code-client-metadata",
    client_name: "Claude Code",
    redirect_uris: ["http://localhost/callback", "http://127.0.0.1/callback"],
    grant_types: ["authorization_code", "refresh_token"],
    response_types: ["code"],
    token_endpoint_auth_method: "none",
  },
  "https://chatgpt.com/oauth/client.json": {
    client_id: "https://chatgpt.com/oauth/client.json",
    client_uri: "https://chatgpt.com/",
    client_name: "ChatGPT",
    redirect_uris: ["https://chatgpt.com/connector_platform_oauth_redirect"],
    grant_types: ["authorization_code", "refresh_token"],
    response_types: ["code"],
    token_endpoint_auth_method: "private_key_jwt",
    token_endpoint_auth_signing_alg: "RS256",
    jwks_uri: "https://chatgpt.com/oauth/jwks.json",
  },
  "https://vscode.dev/oauth/client-metadata.json": {
    client_id: "https://vscode.dev/oauth/client-metadata.json",
    client_name: "Visual Studio Code",
    client_uri: "https://code.visualstudio.com",
    redirect_uris: ["http://127.0.0.1:33418/", "https://vscode.dev/redirect"],
    grant_types: ["authorization_code", "refresh_token"],
    response_types: ["code"],
    token_endpoint_auth_method: "none",
  },
  "https://chatgpt.com/oauth/codex/client.json": {
    client_id: "https://chatgpt.com/oauth/codex/client.json",
    client_uri: "https://chatgpt.com/codex",
    client_name: "Codex",
    application_type: "native",
    redirect_uris: ["http://127.0.0.1/callback", "http://localhost/callback"],
    grant_types: ["authorization_code", "refresh_token"],
    response_types: ["code"],
    token_endpoint_auth_method: "none",
    token_endpoint_auth_methods_supported: ["none"],
  },
  "https://goose-docs.ai/oauth/client-metadata.json": {
    client_id: "https://goose-docs.ai/oauth/client-metadata.json",
    client_name: "goose",
    redirect_uris: ["http://127.0.0.1/oauth_callback", "http://[::1]/oauth_callback"],
    grant_types: ["authorization_code", "refresh_token"],
    response_types: ["code"],
    token_endpoint_auth_method: "none",
    code_challenge_methods_supported: ["S256"],
  },
  "https://zed.dev/oauth/client-metadata.json": {
    client_id: "https://zed.dev/oauth/client-metadata.json",
    client_name: "Zed",
    client_uri: "https://zed.dev",
    redirect_uris: ["http://127.0.0.1/callback"],
    grant_types: ["authorization_code", "refresh_token"],
    response_types: ["code"],
    token_endpoint_auth_method: "none",
  },
};

export const ZED = "https://zed.dev/oauth/client-metadata.json";
export const GOOSE = "https://goose-docs.ai/oauth/client-metadata.json";
export const CODEX = "https://chatgpt.com/oauth/codex/client.json";
export const CLAUDE = "https://claude.ai/oauth/mcp-oauth-client-metadata";
export const CLAUDE_CODE = "https://claude.ai/oauth/claude-code-client-metadata";
export const CHATGPT = "https://chatgpt.com/oauth/client.json";
export const VSCODE = "https://vscode.dev/oauth/client-metadata.json";

/** The stand-in redirects here if it has a number, a status, to serve: another path on the same host. */
const MOVED = "/moved";

export interface StandIn {
  fetch: (url: string, options: RequestInit) => Promise<Response>;
  /** Every address that was requested. */
  asked: string[];
  /** The documents by address. Tests change it. */
  serves: Record<string, unknown>;
  /** Set to true to keep oidc-provider's guard, which refuses private addresses such as the stand-in's. */
  isGuarded: boolean;
}

/** Starts a web server on loopback in place of those that serve the clients' documents. */
export async function standIn(): Promise<StandIn> {
  const asked: string[] = [];
  const serves: Record<string, unknown> = structuredClone(documents);
  const server = createServer((request, response) => {
    const address = `https://${request.headers["x-host"]}${request.url}`;
    const found = serves[address];
    if (found === undefined || typeof found === "number") {
      response.writeHead(found ?? 404, { location: MOVED }).end();
      return;
    }
    response.writeHead(200, { "content-type": "application/json", "cache-control": "max-age=300" });
    response.end(typeof found === "string" ? found : JSON.stringify(found));
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  onTestFinished(() => void server.close());
  const { port } = server.address() as AddressInfo;
  const self: StandIn = {
    asked,
    serves,
    isGuarded: false,
    async fetch(url, options) {
      asked.push(url);
      const { host, pathname } = new URL(url);
      const { redirect, signal } = options;
      return fetch(`http://127.0.0.1:${port}${pathname}`, {
        ...(self.isGuarded ? options : { ...(redirect && { redirect }), ...(signal && { signal }) }),
        headers: { "x-host": host },
      });
    },
  };
  return self;
}

/** Calls `start` with a free port, which the issuer's address needs beforehand. Repeats if it is taken. */
async function onSomePort<T>(start: (port: string) => Promise<T>): Promise<T> {
  for (;;) {
    const server = createServer().listen(0, "127.0.0.1");
    await once(server, "listening");
    const { port } = server.address() as AddressInfo;
    server.close();
    await once(server, "close");
    try {
      return await start(String(port));
    } catch (error) {
      if (!(error instanceof Error && "code" in error && error.code === "EADDRINUSE")) throw error;
    }
  }
}

export interface OAuthServer extends TestServer {
  standIn: StandIn;
  /** Runs an operator's tool. */
  must: ReturnType<typeof testRuntime>["must"];
}

/** Starts the real server with OAuth, two domains and (by default) an operator's password. */
export async function startOAuthServer(
  flags: Record<string, string> = {},
  { now, password = OPERATOR_PASSWORD }: { now?: () => Date; password?: string | null } = {},
): Promise<OAuthServer> {
  const documentsServer = await standIn();
  const server = await onSomePort((port) =>
    startServer(
      { oauth: "true", port, "public-url": `http://127.0.0.1:${port}`, ...flags },
      { ...(now && { now }), fetch: documentsServer.fetch },
    ),
  );
  const { must } = testRuntime(server.store);
  for (const domain of ["example.nl", "example.org"]) await must("add-domain", { domain });
  if (password !== null) {
    const { PasswordHasher } = await import("../../tools/call/password-hash.ts");
    const hash = await new PasswordHasher(HASH_COST).hash(password);
    await server.store.write((tables) => tables.operator.setPasswordHash(hash, new Date().toISOString()));
  }
  return { ...server, standIn: documentsServer, must };
}

/** A browser without a display: follows this server's redirects, keeps cookies, sees a TLS proxy as HTTPS. */
export class Browser {
  readonly #server: string;
  readonly #origin: string;
  readonly cookies = new Map<string, string>();
  /** Every Set-Cookie header received. */
  readonly set: string[] = [];

  /** @param origin the server's public origin, if a proxy gives it another than its own */
  constructor(server: string, origin = new URL(server).origin) {
    this.#server = server;
    this.#origin = origin;
  }

  async get(url: string): Promise<HttpAnswer & { url: string }> {
    const address = new URL(url, this.#origin);
    const answer = await http(this.#reached(address), { headers: this.#headers() });
    this.#keep(answer);
    const { location } = answer.headers;
    if (location !== undefined && new URL(location, address).origin === this.#origin) {
      return this.get(new URL(location, address).href);
    }
    return { ...answer, url: address.href };
  }

  async post(url: string, form: Array<[string, string]>, headers: Record<string, string> = {}) {
    const answer = await http(this.#reached(new URL(url, this.#origin)), {
      method: "POST",
      headers: {
        ...this.#headers(),
        "content-type": "application/x-www-form-urlencoded",
        origin: this.#origin,
        ...headers,
      },
      body: new URLSearchParams(form).toString(),
    });
    this.#keep(answer);
    return answer;
  }

  #reached({ pathname, search }: URL): string {
    return new URL(pathname + search, this.#server).href;
  }

  #headers(): Record<string, string> {
    const cookie = [...this.cookies].map(([name, value]) => `${name}=${value}`).join("; ");
    return { accept: "text/html", host: new URL(this.#origin).host, ...(cookie !== "" && { cookie }) };
  }

  #keep({ headers }: HttpAnswer): void {
    for (const line of headers["set-cookie"] ?? []) {
      this.set.push(line);
      const [, name = "", value = ""] = /^([^=]+)=([^;]*)/.exec(line) ?? [];
      if (value === "") this.cookies.delete(name);
      else this.cookies.set(name, value);
    }
  }
}

export const field = (page: string, name: string): string =>
  new RegExp(`name="${name}" value="([^"]*)"`).exec(page)?.[1] ?? "";

export interface Flow {
  clientId: string;
  redirectUri: string;
  scope?: string;
  resource?: string;
  /** Changes to the authorization request. */
  request?: Record<string, string | undefined>;
}

export const claudeFlow: Flow = {
  clientId: CLAUDE,
  redirectUri: "https://claude.ai/api/mcp/auth_callback",
  scope: "read write",
};

export interface Begun {
  browser: Browser;
  verifier: string;
  page: HttpAnswer & { url: string };
}

/** Opens /authorize in a browser. `page` is the page that it ends on. */
export async function begin(
  server: OAuthServer,
  flow: Flow,
  browser = new Browser(server.url),
): Promise<Begun> {
  const verifier = randomBytes(32).toString("base64url");
  const parameters: Record<string, string | undefined> = {
    client_id: flow.clientId,
    redirect_uri: flow.redirectUri,
    response_type: "code",
    state: "the client's state",
    scope: flow.scope,
    resource: flow.resource ?? `${server.url}/mcp`,
    code_challenge: createHash("sha256").update(verifier).digest("base64url"),
    code_challenge_method: "S256",
    ...flow.request,
  };
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(parameters)) if (value !== undefined) query.set(name, value);
  return { browser, verifier, page: await browser.get(`/authorize?${query}`) };
}

/** Signs in at the page that `begin` ended on. Returns the consent page. */
export async function signIn({ browser, page }: Begun, password = OPERATOR_PASSWORD) {
  const answer = await browser.post(page.url, [
    ["csrf", field(page.body, "csrf")],
    ["password", password],
    ["decision", "sign-in"],
  ]);
  return answer.status === 303 ? browser.get(page.url) : { ...answer, url: page.url };
}

export interface Choice {
  scopes?: readonly string[];
  /** Undefined means all domains. */
  domains?: readonly string[] | undefined;
}

export function choose(browser: Browser, page: HttpAnswer & { url: string }, choice: Choice = {}) {
  return browser.post(page.url, [
    ["csrf", field(page.body, "csrf")],
    ...(choice.scopes ?? ["read", "write"]).map((scope): [string, string] => ["scope", scope]),
    ["access", choice.domains === undefined ? "all" : "some"],
    ...(choice.domains ?? []).map((domain): [string, string] => ["domain", domain]),
    ["decision", "allow"],
  ]);
}

/** Follows the redirect back to the client. Returns the address with the answer. */
export async function goBack(browser: Browser, page: HttpAnswer): Promise<URL> {
  const [, next = ""] = /http-equiv="refresh" content="0;url=([^"]+)"/.exec(page.body) ?? [];
  const answer = await browser.get(next.replaceAll("&#38;", "&"));
  return new URL(answer.headers.location ?? "about:blank");
}

export interface Tokens {
  access_token: string;
  refresh_token: string;
  scope: string;
  expires_in: number;
  token_type: string;
}

export interface TokenAnswer {
  status: number;
  body: Tokens & { error?: string };
}

export async function tokenRequest(
  server: OAuthServer,
  parameters: Record<string, string>,
): Promise<TokenAnswer> {
  const answer = await fetch(`${server.url}/token`, {
    method: "POST",
    body: new URLSearchParams(parameters),
  });
  return { status: answer.status, body: (await answer.json()) as TokenAnswer["body"] };
}

/** Runs the flow up to an authorization code. Returns what to send to exchange it for tokens. */
export async function authorize(server: OAuthServer, flow: Flow = claudeFlow, choice: Choice = {}) {
  const begun = await begin(server, flow);
  const consent = await signIn(begun);
  const back = await goBack(begun.browser, await choose(begun.browser, consent, choice));
  return {
    back,
    exchange: {
      grant_type: "authorization_code",
      code: back.searchParams.get("code") ?? "",
      code_verifier: begun.verifier,
      redirect_uri: flow.redirectUri,
      client_id: flow.clientId,
    },
  };
}

export async function tokensFor(
  server: OAuthServer,
  flow: Flow = claudeFlow,
  choice: Choice = {},
): Promise<Tokens> {
  const { exchange } = await authorize(server, flow, choice);
  const { body } = await tokenRequest(server, exchange);
  return body;
}

export function refresh(server: OAuthServer, refreshToken: string, flow: Flow = claudeFlow) {
  return tokenRequest(server, {
    grant_type: "refresh_token",
    refresh_token: refreshToken,
    client_id: flow.clientId,
  });
}

/** Returns the status with which /mcp answers tools/list for this token. */
export async function mcpStatus({ url }: TestServer, token: string): Promise<number> {
  return (await postMcp({ url, token }, rpc("tools/list"))).status;
}
