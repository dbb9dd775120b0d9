import { domainToASCII, domainToUnicode } from "node:url";
import { contextualProblem } from "./contextual-rules.ts";
import { MailError } from "./error.ts";
import { byReader, next, type Text, text } from "./text.ts";

/** RFC 5321 4.5.3.1.3 without the angle brackets (RFC 3696 erratum 1690). */
const MAX_ADDRESS = 254;
/** RFC 1035 2.3.4, without the trailing dot. */
const MAX_DOMAIN = 253;
/** RFC 5321 4.5.3.1.1. */
const MAX_LOCAL_PART = 64;

/** Letters, marks and decimal digits of any script, hyphens, dots, and RFC 5892's contextual characters. */
const DOMAIN_CHARACTERS = /^[\p{L}\p{M}\p{Nd}.\-\u00B7\u0375\u05F3\u05F4\u30FB\u200C\u200D]+$/u;
const LABEL = /^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$/;

export interface Address {
  /** The whole address in its stored form. */
  email: string;
  localPart: string;
  domain: string;
}

function refuse(message: string, hint: string | Text): never {
  throw new MailError("invalid_input", message, hint);
}

/** A function, so that the node's program is built without it and without the words of doors. */
function domainHint(): Text {
  return text`Give the whole name, such as example.nl, and nothing else. ${next("list-domains")} shows those that are registered.`;
}

/**
 * Converts a domain name to its stored form: lower-case A-labels (UTS 46, non-transitional).
 *
 * @throws MailError invalid_input
 */
export function parseDomain(text: string): string {
  // UTS 46 silently drops soft hyphens and maps odd dots. Refuse such names before the mapping hides them.
  if (/[^.]\.$/.test(text)) {
    refuse("A domain is given without a dot at its end.", "Leave out that dot, and give the rest as it is.");
  }
  if (!DOMAIN_CHARACTERS.test(text) || text.length > MAX_DOMAIN) {
    refuse(
      text.length > MAX_DOMAIN
        ? `A domain has at most ${MAX_DOMAIN} characters.`
        : "A domain has only letters, digits, hyphens and dots.",
      domainHint(),
    );
  }
  const domain = domainToASCII(text).toLowerCase();
  const problem = domain === "" ? NO_IDN : (domainProblem(domain) ?? internationalProblem(text, domain));
  if (problem !== undefined) refuse(problem, domainHint());
  return domain;
}

const NO_IDN = "This is not a valid internationalised domain name.";

/** Refuses two things that UTS 46 accepts: A-labels that decode to nothing valid, and letters that only look like ASCII. */
function internationalProblem(typed: string, domain: string): string | undefined {
  const shown = domainToUnicode(domain);
  // domainToUnicode returns an A-label unchanged when it cannot decode it. Nobody typed a label of symbols.
  if (/(?:^|\.)xn--/.test(shown) || !DOMAIN_CHARACTERS.test(shown)) return NO_IDN;
  const misplaced = shown
    .split(".")
    .map(contextualProblem)
    .find((problem) => problem !== undefined);
  if (misplaced !== undefined) return misplaced;
  const stored = domain.split(".");
  // The Kelvin sign (U+212A) and full-width letters become ASCII: a different domain from the one typed.
  const disguised = typed
    .split(".")
    .some((label, index) => /[^a-z0-9-]/i.test(label) && !stored[index]?.startsWith("xn--"));
  return disguised ? "A label has characters that only look like ASCII letters or digits." : undefined;
}

/** Says why `domain` is not a domain in stored form; undefined when it is. */
export function domainProblem(domain: string): string | undefined {
  if (domain.length > MAX_DOMAIN) return `A domain has at most ${MAX_DOMAIN} characters.`;
  const labels = domain.split(".");
  if (labels.length < 2) return "A domain has at least two labels.";
  if (!labels.every((label) => LABEL.test(label))) {
    return "Each label of a domain has 1 to 63 letters, digits or hyphens, with no hyphen at an edge.";
  }
  if (/^[0-9]+$/.test(labels.at(-1) ?? "")) return "The last label of a domain is not a number.";
  return undefined;
}

/**
 * Converts an address to its stored form: both parts in lower case, the domain as A-labels.
 *
 * @throws MailError invalid_input
 */
export function parseAddress(text: string): Address {
  const at = text.lastIndexOf("@");
  if (at < 0) refuse("An address has an @.", "Give local-part@domain, such as jan@example.nl.");
  const typed = text.slice(0, at);
  // Check before lower-casing: the Kelvin sign (U+212A) lower-cases to ASCII k, which is another person's mailbox.
  // biome-ignore lint/suspicious/noControlCharactersInRegex: the range is ASCII, whole
  if (!/^[\x00-\x7f]*$/.test(typed)) {
    refuse("The local part (before the @) has a letter that is not allowed.", LOCAL_PART_HINT);
  }
  const localPart = typed.toLowerCase();
  const problem = localPartProblem(localPart);
  if (problem !== undefined) refuse(problem, localPart.includes("+") ? PLUS_HINT : LOCAL_PART_HINT);
  const domain = parseDomain(text.slice(at + 1));
  const email = `${localPart}@${domain}`;
  if (email.length > MAX_ADDRESS) {
    refuse(`An address has at most ${MAX_ADDRESS} characters.`, "Choose a shorter local part.");
  }
  return { email, localPart, domain };
}

const LOCAL_PART_HINT = text`${byReader({ toOperator: "Choose", toOthers: "Ask the person for" })} a name of a-z, 0-9, dots, hyphens and underscores, such as marie.curie@example.nl for Marie Curie, joerg or jorg for jörg, obrien for o'brien.`;

const PLUS_HINT =
  "A plus-address needs no mailbox of its own: jan+shop@example.nl reaches jan@example.nl, once that exists.";

function localPartProblem(localPart: string): string | undefined {
  if (localPart === "") return "The local part (before the @) is empty.";
  if (localPart.length > MAX_LOCAL_PART) return `The local part has at most ${MAX_LOCAL_PART} characters.`;
  if (!/^[a-z0-9._-]+$/.test(localPart)) {
    return "The local part (before the @) has a character that is not allowed.";
  }
  if (localPart.startsWith(".") || localPart.endsWith(".") || localPart.includes("..")) {
    return "The local part has no leading, trailing or doubled dot.";
  }
  if (localPart.startsWith("-")) return "The local part does not begin with a hyphen.";
  return undefined;
}

/**
 * Converts an alias's address: one like any other, or @domain for a catch-all, whose local part is empty.
 *
 * @throws MailError invalid_input
 */
export function parseAliasAddress(text: string): Address {
  if (text.startsWith("*@")) {
    refuse("The address of a catch-all begins with @.", "Leave out the *, as in @example.nl.");
  }
  if (!text.startsWith("@")) return parseAddress(text);
  const domain = parseDomain(text.slice(1));
  return { email: `@${domain}`, localPart: "", domain };
}

/** True when `email` is exactly its own stored form. A node accepts nothing else from a server. */
export function isStoredAddress(email: string): boolean {
  const at = email.indexOf("@");
  return (
    at > 0 &&
    email.length <= MAX_ADDRESS &&
    localPartProblem(email.slice(0, at)) === undefined &&
    domainProblem(email.slice(at + 1)) === undefined
  );
}
