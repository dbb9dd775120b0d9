import * as z from "zod";
import { accessFields, grantedScopes } from "../call/access.ts";
import { newCredential } from "../call/credential.ts";
import { Timestamp } from "../call/fields.ts";
import { defineTool } from "../call/tool.ts";
import { Expiry, endOf } from "./expiry.ts";

/** Principals of the audit log that have no token. */
const RESERVED = new Set(["operator", "retention"]);

const TokenName = z
  .string()
  .regex(
    /^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$/,
    "A token name has 1 to 63 letters, digits, dots, hyphens or underscores.",
  )
  .refine(
    (name) => !RESERVED.has(name.toLowerCase()),
    "this name is reserved: the audit log uses it for the operator or the server.",
  )
  .describe("A name by which to recognise the token later, e.g. claude-desktop.");

/** Access tokens for HTTP are made at the server's shell only: no token may make another. */
export const createToken = defineTool({
  endpoint: "create-token",
  title: "Create an access token",
  description: "Creates an access token for MCP and REST over HTTP.",
  effect: "write",
  input: z.strictObject({
    name: TokenName,
    scopes: accessFields.scopes.optional().describe("The token's permissions; all by default."),
    domains: accessFields.domains
      .optional()
      .describe("The only domains that it may see and change, registered or not yet; all by default."),
    expires: Expiry.optional(),
  }),
  output: z.object({ name: z.string(), token: z.string(), expires_at: Timestamp.nullable() }),
  async run({ tables, at }, { name, scopes: wanted, domains, expires }) {
    const token = newCredential("token");
    const expiresAt = expires === undefined ? null : endOf(expires, new Date(at));
    await tables.tokens.add(
      {
        name,
        tokenId: token.id,
        tokenHash: token.hash,
        scopes: grantedScopes(wanted, domains !== undefined),
        domains: domains ?? null,
        expiresAt,
      },
      at,
    );
    return { name, token: token.text, expires_at: expiresAt };
  },
});

export const listTokens = defineTool({
  endpoint: "list-tokens",
  title: "List access tokens",
  description: "Lists access tokens with scopes and expiry, never the tokens themselves.",
  effect: "read",
  input: z.strictObject({}),
  output: z.object({
    tokens: z.array(
      z.object({
        name: z.string(),
        scopes: z.array(z.string()),
        domains: z.array(z.string()).nullable(),
        created_at: Timestamp,
        expires_at: Timestamp.nullable(),
        last_used_at: Timestamp.nullable(),
      }),
    ),
  }),
  async run({ tables }) {
    const tokens = (await tables.tokens.all()).map((token) => ({
      name: token.name,
      scopes: token.scopes,
      domains: token.domains,
      created_at: token.createdAt,
      expires_at: token.expiresAt,
      last_used_at: token.lastUsedAt,
    }));
    return { tokens };
  },
});

export const revokeToken = defineTool({
  endpoint: "revoke-token",
  title: "Revoke an access token",
  description: "Ends an access token at once.",
  effect: "write",
  input: z.strictObject({ name: TokenName }),
  output: z.object({ name: z.string() }),
  async run({ tables }, { name }) {
    await tables.tokens.remove(name);
    return { name };
  },
});
