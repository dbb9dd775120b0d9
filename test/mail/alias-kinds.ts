/** Each kind of alias, and where mail to it arrives. */
import type { Login } from "./mailbox.ts";
import { ANNA, JAN } from "./people.ts";

export const PIET = { address: "piet@second.example", password: "another domain" };
export const FORWARD = "forward@example.nl";
export const DEAD = "dead@example.nl";
/** Domain aliases, each with its domain. */
export const DOMAIN_ALIASES = { "alias.example": "second.example", "xn--bcher-kva.example": "example.nl" };

/**
 * They lead to: info@example.nl to Jan and Anna, anna@example.nl to Jan, @example.nl to Piet, sales@second.example to Jan, and
 * postmaster@ and abuse@ to Jan.
 */
export const kinds: ReadonlyArray<[what: string, to: string, who: readonly Login[]]> = [
  ["an alias with one target", "sales@second.example", [JAN]],
  ["an alias with two targets", "info@example.nl", [JAN, ANNA]],
  ["an alias with a plus", "info+lists@example.nl", [JAN, ANNA]],
  ["an alias in capitals", "INFO@Example.NL", [JAN, ANNA]],
  ["a mailbox that is an alias too", "anna@example.nl", [JAN, ANNA]],
  ["a mailbox beside a catch-all", "jan@example.nl", [JAN]],
  ["a mailbox with a plus beside a catch-all", "jan+x@example.nl", [JAN]],
  ["a catch-all", "whatever@example.nl", [PIET]],
  ["a catch-all with a plus", "whatever+x@example.nl", [PIET]],
  ["postmaster of a domain with a catch-all", "postmaster@example.nl", [JAN]],
  ["abuse of a domain without one", "abuse@second.example", [JAN]],
  ["a mailbox by a domain alias", "piet@alias.example", [PIET]],
  ["a mailbox by a domain alias with a plus", "piet+x@alias.example", [PIET]],
  ["an alias by a domain alias", "sales@alias.example", [JAN]],
  ["an alias by a domain alias's A-labels", "info@xn--bcher-kva.example", [JAN, ANNA]],
  ["postmaster of a domain alias", "postmaster@alias.example", [JAN]],
  ["a catch-all by a domain alias", "whatever@xn--bcher-kva.example", [PIET]],
];

export const refused = [DEAD, "dead+x@example.nl", "nobody@second.example", "nobody@alias.example"];

/** Users, the addresses that they send as, and the answers: info@ and sales@ have send_as. */
export const senders: ReadonlyArray<[who: Login, from: string, code: 250 | 553]> = [
  [JAN, "info@example.nl", 250],
  [ANNA, "info@example.nl", 250],
  [PIET, "info@example.nl", 553],
  [JAN, "anna@example.nl", 553],
  [ANNA, "anna@example.nl", 250],
  [PIET, "whatever@example.nl", 553],
  [PIET, "piet@alias.example", 250],
  [JAN, "sales@alias.example", 250],
  [JAN, "piet@alias.example", 553],
];
