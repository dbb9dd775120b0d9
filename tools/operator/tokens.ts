import { z } from "zod";
import { newCredential } from "../credential.ts";
import { Timestamp } from "../fields.ts";
import { scopes } from "../principal.ts";
import { defineTool } from "../tool.ts";

const TokenName = z
  .string()
  .regex(
    /^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$/,
    "A token name has 1 to 63 letters, digits, dots, hyphens or underscores.",
  )
  .describe("A name by which to know the token later, e.g. claude-desktop.");

/** Access tokens for HTTP are made at the server's shell only: no token may make another. */
export const createToken = defineTool({
  endpoint: "create-token",
  title: "Create an access token",
  description: "Creates an access token for MCP and REST over HTTP.",
  effect: "write",
  input: z.strictObject({
    name: TokenName,
    scopes: z
      .array(z.enum(scopes))
      .min(1)
      .default([...scopes])
      .describe("What it may do; everything by default."),
    expires_in_days: z.int().min(1).max(36_500).optional(),
  }),
  output: z.object({ name: z.string(), token: z.string(), expires_at: Timestamp.nullable() }),
  async run({ tables, at }, { name, scopes: granted, expires_in_days }) {
    const token = newCredential("token");
    const expiresAt =
      expires_in_days === undefined
        ? null
        : new Date(Date.parse(at) + expires_in_days * 86_400_000).toISOString();
    await tables.tokens.add(
      { name, tokenId: token.id, tokenHash: token.hash, scopes: [...new Set(granted)], expiresAt },
      at,
    );
    return { name, token: token.text, expires_at: expiresAt };
  },
});

export const listTokens = defineTool({
  endpoint: "list-tokens",
  title: "List access tokens",
  description: "Lists access tokens, never the tokens themselves.",
  effect: "read",
  input: z.strictObject({}),
  output: z.object({
    tokens: z.array(
      z.object({
        name: z.string(),
        scopes: z.array(z.string()),
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
