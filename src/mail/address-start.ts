import { domainToASCII } from "node:url";
import { MailError } from "./error.ts";

/** The start of an address, as `list_users` searches for it. */
export interface AddressStart {
  /** The text in lower case, with A-labels. Equal searches have equal texts. */
  text: string;
  localPart: string;
  /** The start of the domain; undefined while the local part is incomplete. */
  domain: DomainStart | undefined;
}

export interface DomainStart {
  text: string;
  /** True when the text ends with a whole label. The domain then ends there, or continues with a dot. */
  endsLabel: boolean;
}

const HINT = "Give the start of an address, such as jan or jan@example. Names of people are not stored.";

function refuse(message: string): never {
  throw new MailError("invalid_input", message, HINT);
}

/**
 * Converts the start of an address, as typed, to its stored form. A label of the domain that is not ASCII must be complete,
 * because each added letter changes the start of its A-label.
 *
 * @throws MailError invalid_input
 */
export function parseAddressStart(typed: string): AddressStart {
  const [local = "", domain, ...more] = typed.split("@");
  if (more.length > 0) refuse("An address has only one @.");
  if (local === "" && domain !== undefined) refuse("There is nothing before the @.");
  if (!/^[A-Za-z0-9._-]+$/.test(local)) {
    refuse("Before the @ only ASCII letters, digits, dots, hyphens and underscores are allowed.");
  }
  const localPart = local.toLowerCase();
  if (domain === undefined) return { text: localPart, localPart, domain };
  const start = domainStart(domain);
  return { text: `${localPart}@${start.text}`, localPart, domain: start };
}

function domainStart(typed: string): DomainStart {
  const labels = typed.split(".");
  const stored = labels.map(storedLabel);
  return { text: stored.join("."), endsLabel: !/^[\x21-\x7e]*$/.test(labels.at(-1) ?? "") };
}

function storedLabel(typed: string): string {
  if (/^[A-Za-z0-9-]*$/.test(typed)) return typed.toLowerCase();
  const label = /^[\p{L}\p{M}\p{Nd}-]+$/u.test(typed) ? domainToASCII(typed) : "";
  // UTS 46 maps letters that only look like ASCII to ASCII: a different name from the one typed.
  if (!label.startsWith("xn--")) refuse("After the @ only letters, digits, hyphens and dots are allowed.");
  return label;
}
