import * as z from "zod";
import { OperatorPassword } from "../../src/mail/schemas.ts";
import { Timestamp } from "../call/fields.ts";
import { defineTool } from "../call/tool.ts";

export const setOperatorPassword = defineTool({
  endpoint: "set-operator-password",
  title: "Set the operator's password",
  description:
    "Sets the password of the operator's page at / and of the OAuth consent page. Ends all sign-ins.",
  effect: "write",
  input: z.strictObject({ password: OperatorPassword }),
  output: z.object({
    changed_at: Timestamp,
    grants: z.int().describe("Grants of OAuth clients, which stay valid."),
  }),
  async run({ tables, at, passwordHash }) {
    await tables.operator.setPasswordHash(passwordHash, at);
    // A sign-in with the former password must not go on to allow a client.
    await tables.oauth.endRequests();
    return { changed_at: at, grants: (await tables.grants.all(at)).length };
  },
});
