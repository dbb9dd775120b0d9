import * as z from "zod";
import { Timestamp } from "../../call/fields.ts";
import { defineTool } from "../../call/tool.ts";

export const listGrants = defineTool({
  endpoint: "list-oauth-grants",
  title: "List OAuth grants",
  description: "Lists the valid grants of OAuth clients, never their tokens.",
  effect: "read",
  input: z.strictObject({}),
  output: z.object({
    grants: z.array(
      z.object({
        id: z.string(),
        client: z.string(),
        client_id: z.string(),
        scopes: z.array(z.string()),
        domains: z.array(z.string()).nullable(),
        granted_at: Timestamp,
        refreshed_at: Timestamp.nullable(),
      }),
    ),
  }),
  async run({ tables, at }) {
    return { grants: (await tables.grants.all(at)).map(({ key: _, ...grant }) => grant) };
  },
});

export const revokeGrant = defineTool({
  endpoint: "revoke-oauth-grant",
  title: "End an OAuth grant",
  description: "Ends a grant: its access and refresh tokens stop working at once.",
  effect: "write",
  input: z.strictObject({
    id: z.string().regex(/^[0-9a-f]{8}$/, "A grant's id has 8 hexadecimal digits."),
  }),
  output: z.object({ id: z.string(), client: z.string() }),
  async run({ tables, at }, { id }) {
    const { client } = await tables.grants.revoke(id, at);
    return { id, client };
  },
});
