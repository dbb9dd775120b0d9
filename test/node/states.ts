import { hash, stateOf, user } from "./answers.ts";

/** A server's state, and the next one: one user changed, one gone and one new, in a new domain. */
export const one = stateOf(
  1,
  ["example.nl"],
  [user("jan@example.nl"), user("piet@example.nl", { quota_mb: 5 })],
);
export const two = stateOf(
  2,
  ["example.nl", "new.nl"],
  [user("jan@example.nl", { password: hash("b") }), user("els@new.nl", { mailbox: "00112233445566ff" })],
);
