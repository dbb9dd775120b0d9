import { contextualProblem } from "./contextual-rules.ts";
import { MailError } from "./error.ts";
import { byReader, operator, text as words } from "./text.ts";

const MIN_CHARACTERS = 8;
/** bcrypt ignores later bytes: either of two longer passwords with the same first 72 bytes would log in. */
const MAX_BYTES = 72;

/** The prefixes of stored hashes: Dovecot's {SCHEME} and crypt(5)'s $id$. */
const LOOKS_STORED =
  /^(?:\{[A-Z][A-Z0-9.-]*\}.|\$(?:\d|2[abxy]|y|gy|md5|sha1|apr1|argon2(?:id?|d)|scrypt|(?:bcrypt|pbkdf2)[a-z0-9-]*)\$)/;

/**
 * Converts a password to OpaqueString (RFC 8265 4.2.2): other spaces become U+0020, letters are composed (NFC). Mail
 * programs send what is typed, so the owner must type that form.
 */
export function opaqueString(text: string): string {
  return text.replaceAll(/\p{Zs}/gu, " ").normalize("NFC");
}

/**
 * Characters outside of PRECIS' FreeformClass (RFC 8264 4.3.3 and 9): unassigned, private and format characters, line and
 * paragraph separators, default-ignorables, old Hangul letters, and the exceptions of RFC 5892 2.6. Joiners are always
 * refused, although RFC 5892 allows them in two scripts: they are invisible, and a password is not shown.
 */
const NOT_FREEFORM =
  /[\p{Cf}\p{Cn}\p{Co}\p{Zl}\p{Zp}\p{Default_Ignorable_Code_Point}\u1100-\u11FF\uA960-\uA97C\uD7B0-\uD7FB\u0640\u07FA\u302E\u302F\u3031-\u3035\u303B]/u;

const NO_HASH = words`Give the password itself; ${byReader({
  toOperator: words`${operator("import FILE")} takes hashes`,
  toOthers: "only the operator can import hashes",
})}.`;

/**
 * Checks a password and returns the form to hash, {@link opaqueString}.
 *
 * @param least minimum number of characters
 * @throws MailError invalid_input; message and hint repeat no part of the password
 */
export function parsePassword(text: string, least = MIN_CHARACTERS): string {
  if (LOOKS_STORED.test(text)) {
    throw new MailError(
      "invalid_input",
      "This looks like a password's stored hash, with which nobody could log in.",
      NO_HASH,
    );
  }
  const password = opaqueString(text);
  const refuse = (message: string): never => {
    throw new MailError(
      "invalid_input",
      message,
      `Choose ${least} characters to ${MAX_BYTES} bytes of UTF-8, without control characters.`,
    );
  };
  if (!password.isWellFormed()) refuse("The password is not valid Unicode.");
  if (/\p{Cc}/u.test(password)) refuse("The password has a control character.");
  if (NOT_FREEFORM.test(password) || contextualProblem(password) !== undefined)
    refuse("The password has a character that is invisible, or that some systems change.");
  if ([...password].length < least) refuse(`The password is shorter than ${least} characters.`);
  if (Buffer.byteLength(password) > MAX_BYTES)
    refuse(`The password is longer than ${MAX_BYTES} bytes of UTF-8.`);
  return password;
}

/** True for a text with the form of a stored hash, which nobody means as a password. */
export function looksStored(text: string): boolean {
  return LOOKS_STORED.test(text);
}
