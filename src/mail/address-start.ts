import { domainToASCII } from "node:url";
import { MailError } from "./error.ts";

/** The start of an address, for a search. */
export interface AddressStart {
  /** In lower case, with A-labels: the same for the same search. */
  text: string;
  localPart: string;
  /** Undefined where the local part goes on; else how the domain begins. */
  domain: DomainStart | undefined;
}

export interface DomainStart {
  text: string;
  /** True where the text ends with a whole label: then the name ends there, or goes on with a dot. */
  endsLabel: boolean;
}

const HINT =
  "Give the start of an address, such as jan, or of one with its domain, such as jan@example. Names of people are not stored.";

function refuse(message: string): never {
  throw new MailError("invalid_input", message, HINT);
}

/**
 * The start of an address as typed, in its stored form. In the domain a label in other letters than ASCII's must be whole:
 * its A-label begins in another way with each letter that is added.
 *
 * @throws MailError invalid_input
 */
export function parseAddressStart(typed: string): AddressStart {
  const [local = "", domain, ...more] = typed.split("@");
  if (more.length > 0) refuse("An address has one @ only.");
  if (local === "" && domain !== undefined) refuse("There is nothing before the @.");
  if (!/^[A-Za-z0-9._-]+$/.test(local)) {
    refuse("The start of an address has only letters of ASCII, digits, dots, hyphens and underscores.");
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
  // As in a whole address: letters that only look like ASCII's become another name than the one that was typed.
  if (!label.startsWith("xn--")) refuse("After the @ come letters, digits, hyphens and dots only.");
  return label;
}
