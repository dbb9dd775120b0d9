import * as z from "zod";
import { defineTool } from "../../call/tool.ts";
import { isRedirectUri } from "./redirect-uri.ts";

const ClientName = z
  .string()
  .regex(
    /^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$/,
    "A client's name has 1 to 63 letters, digits, dots, hyphens or underscores.",
  )
  .describe("The client's name on the consent page, and its client id.");

/** For clients without a metadata document. They have no secret: PKCE replaces it. */
export const addOAuthClient = defineTool({
  endpoint: "add-oauth-client",
  title: "Register an OAuth client",
  description: "Registers a client that has no Client ID Metadata Document.",
  effect: "write",
  input: z.strictObject({
    name: ClientName,
    redirect_uris: z
      .array(
        z
          .string()
          .max(2000)
          .refine(
            isRedirectUri,
            "a client cannot be sent back to this address. Use https://…, http:// on localhost, 127.0.0.1 or [::1], or an app's own scheme, without a user name or #.",
          ),
      )
      .min(1)
      .max(20)
      .describe("Where it may be sent back to: HTTPS, http on loopback (any port), or an app's own scheme."),
  }),
  output: z.object({ client_id: z.string(), redirect_uris: z.array(z.string()) }),
  async run({ tables }, { name, redirect_uris }) {
    await tables.grants.addClient(name, redirect_uris);
    return { client_id: name, redirect_uris };
  },
});

export const listOAuthClients = defineTool({
  endpoint: "list-oauth-clients",
  title: "List registered OAuth clients",
  description: "Lists the clients that were registered here.",
  effect: "read",
  input: z.strictObject({}),
  output: z.object({
    clients: z.array(z.object({ client_id: z.string(), redirect_uris: z.array(z.string()) })),
  }),
  async run({ tables }) {
    return { clients: await tables.grants.clients() };
  },
});

export const removeOAuthClient = defineTool({
  endpoint: "remove-oauth-client",
  title: "Remove an OAuth client",
  description: "Removes a client that was registered here, and ends its grants.",
  effect: "write",
  input: z.strictObject({ name: ClientName }),
  output: z.object({ client_id: z.string() }),
  async run({ tables }, { name }) {
    await tables.grants.removeClient(name);
    return { client_id: name };
  },
});
