import { MailError } from "../../src/mail/error.ts";

/** In lower case; read when the first password is set, then kept. */
let commonest: Promise<ReadonlySet<string>> | undefined;

/**
 * Refuses a password that attackers try first: a common one, the mailbox's address, or the part before its @.
 *
 * @param password as parsePassword returned it
 * @param email the mailbox's, if the password is for one
 * @throws MailError invalid_input; neither message nor hint repeats any of the password
 */
export async function refuseWeakPassword(password: string, email: string | undefined): Promise<void> {
  const typed = password.toLowerCase();
  const [localPart] = email?.split("@") ?? [];
  if (typed === email || typed === localPart)
    refuse("The password is the mailbox's own address, or a part of it.");
  commonest ??= readCommonest();
  if ((await commonest).has(typed))
    refuse("The password is one of the most common ones, which attackers try first.");
}

function refuse(message: string): never {
  throw new MailError(
    "invalid_input",
    message,
    "Choose another: several words that do not belong together, or 16 random characters.",
  );
}

async function readCommonest(): Promise<ReadonlySet<string>> {
  const { default: list } = await import("@zxcvbn-ts/language-common/src/passwords.json", {
    with: { type: "json" },
  });
  return new Set(list);
}
