import { MailError } from "./error.ts";

const MIN_CHARACTERS = 8;
/** bcrypt reads no more: two longer passwords with the same first 72 bytes would both log in. */
const MAX_BYTES = 72;

/**
 * The form of a password that is hashed: Unicode NFC (RFC 8265 4.2.2), so that the same
 * letters typed on two systems are the same password.
 *
 * @param least how many characters it has at least
 * @throws MailError invalid_input; neither message nor hint repeats any of it
 */
export function parsePassword(text: string, least = MIN_CHARACTERS): string {
  const password = text.normalize("NFC");
  const refuse = (message: string): never => {
    throw new MailError(
      "invalid_input",
      message,
      `Choose ${least} characters to ${MAX_BYTES} bytes of UTF-8, without control characters.`,
    );
  };
  if (!password.isWellFormed()) refuse("The password is not valid Unicode.");
  if (/\p{Cc}/u.test(password)) refuse("The password has a control character.");
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
