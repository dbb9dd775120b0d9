import * as z from "zod";
import { OperatorPassword } from "../../src/mail/schemas.ts";
import { Timestamp } from "../fields.ts";
import { defineTool } from "../tool.ts";

export const setOperatorPassword = defineTool({
  endpoint: "set-operator-password",
  title: "Set the operator's password",
  description:
    "Sets the password of the page at /, and of the page on which OAuth clients are allowed. All sign-ins end.",
  effect: "write",
  input: z.strictObject({ password: OperatorPassword }),
  output: z.object({
    changed_at: Timestamp,
    grants: z.int().describe("What was allowed before still stands."),
  }),
  async run({ tables, at, passwordHash }) {
    await tables.operator.setPasswordHash(passwordHash, at);
    // Whoever signed in with the former password must not go on to allow something.
    await tables.oauth.endRequests();
    return { changed_at: at, grants: (await tables.grants.all(at)).length };
  },
});
