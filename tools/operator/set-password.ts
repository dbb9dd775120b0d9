import { z } from "zod";
import { Password } from "../../src/mail/schemas.ts";
import { Timestamp } from "../fields.ts";
import { defineTool } from "../tool.ts";

const MIN_CHARACTERS = 12;

/** The page that asks for it is open to the internet, and it opens everything: it is longer than a mailbox's. */
const OperatorPassword = Password.refine(
  (password) => [...password].length >= MIN_CHARACTERS,
  `The operator's password has at least ${MIN_CHARACTERS} characters.`,
).meta({ writeOnly: true, format: "password" });

export const setOperatorPassword = defineTool({
  endpoint: "set-operator-password",
  title: "Set the operator's password",
  description: "Sets the password that the page asks for on which OAuth clients are allowed.",
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
