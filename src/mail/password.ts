import { contextualProblem } from "./contextual.ts";
import { MailError } from "./error.ts";

const MIN_CHARACTERS = 8;
/** bcrypt reads no more: two longer passwords with the same first 72 bytes would both log in. */
const MAX_BYTES = 72;

/** How stored passwords begin: Dovecot's {SCHEME}, crypt(5)'s $id$. */
const LOOKS_STORED =
  /^(?:\{[A-Z][A-Z0-9.-]*\}.|\$(?:\d|2[abxy]|y|gy|md5|sha1|apr1|argon2(?:id?|d)|scrypt|(?:bcrypt|pbkdf2)[a-z0-9-]*)\$)/;

/**
 * The one form of a password, of whatever keyboard: OpaqueString (RFC 8265 4.2.2), in which other spaces are U+0020 and
 * letters are composed (NFC). A mail program sends what was typed, so the owner has to type that form.
 */
export function opaqueString(text: string): string {
  return text.replaceAll(/\p{Zs}/gu, " ").normalize("NFC");
}

/**
 * What PRECIS' FreeformClass does not have (RFC 8264 4.3.3 and 9): unassigned, private and format characters, line and
 * paragraph separators, what is shown as nothing, old Hangul letters, and the exceptions of RFC 5892 2.6. Joiners are
 * refused everywhere, though two scripts may have them: nobody sees them in what is not shown.
 */
const NOT_FREEFORM =
  /[\p{Cf}\p{Cn}\p{Co}\p{Zl}\p{Zp}\p{Default_Ignorable_Code_Point}\u1100-\u11FF\uA960-\uA97C\uD7B0-\uD7FB\u0640\u07FA\u302E\u302F\u3031-\u3035\u303B]/u;

/**
 * The form of a password that is hashed: {@link opaqueString}.
 *
 * @param least how many characters it has at least
 * @throws MailError invalid_input; neither message nor hint repeats any of it
 */
export function parsePassword(text: string, least = MIN_CHARACTERS): string {
  if (LOOKS_STORED.test(text)) {
    throw new MailError(
      "invalid_input",
      "This looks like a stored hash of a password: nobody could log in with the password that it is of.",
      "Give the password itself. Hashes cannot be brought in here.",
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
    refuse("The password has a character that cannot be seen, or that not every system keeps as it is.");
  if ([...password].length < least) refuse(`The password is shorter than ${least} characters.`);
  if (Buffer.byteLength(password) > MAX_BYTES)
    refuse(`The password is longer than ${MAX_BYTES} bytes of UTF-8.`);
  return password;
}

/**
 * A bcrypt hash with the scheme that Dovecot is told. Costs 04 to 14: a hash that
 * was imported (`doveadm pw` makes cost 05) must not stop a node.
 */
export const STORED_HASH = /^\{BLF-CRYPT\}\$2[aby]\$(0[4-9]|1[0-4])\$[./A-Za-z0-9]{53}$/;
