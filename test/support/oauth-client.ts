import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import {
  Client,
  type OAuthClientProvider,
  type OAuthDiscoveryState,
  StreamableHTTPClientTransport,
  UnauthorizedError,
} from "@modelcontextprotocol/client";
import { onTestFinished } from "vitest";
import { CLAUDE_CODE } from "./oauth.ts";

type Tokens = NonNullable<Awaited<ReturnType<OAuthClientProvider["tokens"]>>>;
type ClientInformation = NonNullable<Awaited<ReturnType<OAuthClientProvider["clientInformation"]>>>;

/** A program with the 2.x SDK that identifies itself as Claude Code and signs in through a browser. */
export interface PendingSignIn {
  /** The address that the SDK wants opened, after the server's latest 401 or 403. */
  authorizationUrl(): URL;
  /** The address that the browser was sent back to. */
  answered: Promise<URL>;
  /** Redeems the code and connects. */
  finish(): Promise<Client>;
  tokens(): Tokens;
}

/** Connects without a token, which leads to a request to sign in. */
export async function beginSignIn(url: string): Promise<PendingSignIn> {
  const { promise: answered, resolve } = Promise.withResolvers<URL>();
  const callback = createServer((request, response) => {
    response.writeHead(200, { "content-type": "text/plain" }).end("You can close this page.");
    if (request.url?.startsWith("/callback")) resolve(new URL(request.url, "http://localhost"));
  });
  callback.listen(0, "localhost");
  await once(callback, "listening");
  onTestFinished(() => void callback.close());
  const { port } = callback.address() as AddressInfo;
  let wanted: URL | undefined;
  let verifier = "";
  let saved: Tokens | undefined;
  let discovered: OAuthDiscoveryState | undefined;
  let information: ClientInformation | undefined;
  const provider: OAuthClientProvider = {
    redirectUrl: `http://localhost:${port}/callback`,
    clientMetadataUrl: CLAUDE_CODE,
    clientMetadata: { client_name: "Claude Code", redirect_uris: [`http://localhost:${port}/callback`] },
    state: () => "a state",
    clientInformation: () => information,
    saveClientInformation(given) {
      information = given;
    },
    tokens: () => saved,
    saveTokens(tokens) {
      saved = tokens;
    },
    redirectToAuthorization(address) {
      wanted = address;
    },
    saveCodeVerifier(text) {
      verifier = text;
    },
    codeVerifier: () => verifier,
    saveDiscoveryState(state) {
      discovered = state;
    },
    discoveryState: () => discovered,
  };
  const transport = new StreamableHTTPClientTransport(new URL(`${url}/mcp`), { authProvider: provider });
  const connect = async (to: StreamableHTTPClientTransport) => {
    const client = new Client({ name: "test", version: "1" });
    await client.connect(to);
    return client;
  };
  await connect(transport).then(
    () => {
      throw new Error("the server let a client in that has no token");
    },
    (error: unknown) => {
      if (!(error instanceof UnauthorizedError)) throw error;
    },
  );
  return {
    authorizationUrl() {
      if (wanted === undefined) throw new Error("the client found no way to sign in");
      return wanted;
    },
    answered,
    async finish() {
      await transport.finishAuth((await answered).searchParams);
      const client = await connect(
        new StreamableHTTPClientTransport(new URL(`${url}/mcp`), { authProvider: provider }),
      );
      onTestFinished(() => client.close());
      return client;
    },
    tokens() {
      if (saved === undefined) throw new Error("the client has no tokens yet");
      return saved;
    },
  };
}
