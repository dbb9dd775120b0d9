import * as z from "zod";
import { isRedirectUri } from "../../../tools/operator/oauth/redirect-uri.ts";
import { textOf } from "../../doors/utf8.ts";
import type { Log } from "../../log/log.ts";
import { applicationType } from "./redirect.ts";

/** Limit of a document, in bytes. The known clients' documents have some hundred. */
const MAX_BYTES = 16 * 1024;

export type Fetch = (url: string, options: RequestInit) => Promise<Response>;

const Document = z.object({
  client_id: z.string(),
  /** The consent page shows it: no invisible characters, and none that change the text's direction. */
  client_name: z
    .string()
    .min(1)
    .max(200)
    .regex(/^[^\p{Cc}\p{Cf}\p{Zl}\p{Zp}]*$/u),
  redirect_uris: z
    .array(z.string())
    .transform((uris) => uris.filter(isRedirectUri))
    .pipe(z.array(z.string()).min(1).max(50)),
  token_endpoint_auth_method: z.enum(["none", "private_key_jwt"]).default("none"),
  token_endpoint_auth_signing_alg: z.enum(["RS256", "PS256", "ES256", "Ed25519", "EdDSA"]).optional(),
  jwks_uri: z.string().optional(),
});

/**
 * Fetches the documents by which clients identify themselves (Client ID Metadata Documents, draft 02), and the
 * keys that they name. It fetches only documents on the list, so that nobody can make the server call an address
 * of their choice. It follows no redirects.
 */
export class ClientDocuments {
  readonly #allowed: ReadonlySet<string>;
  readonly #fetch: Fetch;
  readonly #log: Log;
  /** Addresses of keys that documents on the list have named. */
  readonly #keys = new Set<string>();

  constructor(allowed: Iterable<string>, fetch: Fetch, log: Log) {
    this.#allowed = new Set(allowed);
    this.#fetch = fetch;
    this.#log = log;
  }

  isAllowed(clientId: string): boolean {
    return this.#allowed.has(clientId);
  }

  /**
   * Called by oidc-provider, which sets a time limit of 2.5 s, refuses private addresses, and checks that a
   * document is the client's own.
   */
  readonly fetch = async (url: string, options: RequestInit): Promise<Response> => {
    const isDocument = this.#allowed.has(url);
    if (!isDocument && !this.#keys.has(url)) throw new Error("this address is not on the list");
    try {
      const response = await this.#fetch(url, { ...options, redirect: "manual" });
      if (response.status !== 200) {
        await response.body?.cancel();
        throw new Error("there is no document at this address");
      }
      const text = await limitedText(response);
      return new Response(isDocument ? this.#understood(url, text) : text, {
        headers: cacheHeaders(response),
      });
    } catch (error) {
      this.#log.warn("OAuth: a client's document could not be fetched, or is not valid", { url });
      throw error;
    }
  };

  /**
   * The document's known fields; unknown ones are left out, not refused. Every client gets refresh tokens, answers
   * by query only, and any port on loopback (RFC 8252 7.3).
   */
  #understood(url: string, text: string): string {
    const { jwks_uri, token_endpoint_auth_signing_alg, ...document } = Document.parse(JSON.parse(text));
    const signs = document.token_endpoint_auth_method === "private_key_jwt";
    if (signs) {
      if (jwks_uri === undefined || new URL(jwks_uri).origin !== new URL(url).origin) {
        throw new Error("this document's keys are not where the document is");
      }
      this.#keys.add(jwks_uri);
    }
    return JSON.stringify({
      ...document,
      ...(signs && { jwks_uri, token_endpoint_auth_signing_alg }),
      ...clientRules(document.redirect_uris),
    });
  }
}

/** Rules for every client, whatever its document says. */
export function clientRules(redirectUris: readonly string[]) {
  return {
    application_type: applicationType(redirectUris),
    grant_types: ["authorization_code", "refresh_token"],
    response_types: ["code"],
    response_modes: ["query"],
  } as const;
}

async function limitedText(response: Response): Promise<string> {
  const chunks: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of response.body ?? []) {
    size += chunk.byteLength;
    if (size > MAX_BYTES) throw new Error("this document is too large");
    chunks.push(chunk);
  }
  const text = textOf(Buffer.concat(chunks));
  if (text === undefined) throw new Error("this document is not valid UTF-8");
  return text;
}

function cacheHeaders(response: Response): Record<string, string> {
  const cacheControl = response.headers.get("cache-control");
  return cacheControl === null ? {} : { "cache-control": cacheControl };
}
