import { closeSync, openSync, rmSync, writeFileSync } from "node:fs";
import type { Runtime } from "../../../../tools/call/call.ts";
import { createPasswordLink } from "../../../../tools/sets/people/create-password-link.ts";
import { UsageError } from "../../../command-line/usage-error.ts";
import { MailError } from "../../../mail/error.ts";
import { showProgress } from "../output.ts";
import { resultOf } from "../run-tool.ts";
import type { Imported } from "./report.ts";

/**
 * Imports, and writes a link to choose a password to a new file for each active mailbox that needs a new one, also if an
 * earlier import has added it. It refuses before the import if the file exists, or if no link can be made.
 *
 * @throws UsageError; MailError
 */
export async function withLinks(
  path: string,
  runtime: Runtime,
  run: () => Promise<Imported>,
): Promise<Imported> {
  if (runtime.settings?.publicUrl === undefined) {
    throw new MailError(
      "no_public_url",
      "The links need the server's address from outside.",
      "Nothing was changed. Set M25_MAIL_PUBLIC_URL to it, as in https://NAME.",
    );
  }
  const file = newFile(path);
  try {
    const imported = await run().catch((error) => {
      rmSync(path, { force: true });
      throw error;
    });
    const write = (text: string) => writeOrExplain(file, path, text);
    write("email,url,expires_at\n");
    const names = imported.mailboxes.filter(({ outcome }) => outcome === "new_password");
    for (const [at, { name }] of names.entries()) {
      showProgress(`${at + 1} of ${names.length} links are made`);
      const line = await linkFor(runtime, name);
      if (line !== undefined) write(line);
    }
    showProgress("");
    return imported;
  } finally {
    closeSync(file);
  }
}

/** @throws MailError unavailable */
function writeOrExplain(file: number, path: string, text: string): void {
  try {
    writeFileSync(file, text);
  } catch {
    throw new MailError(
      "unavailable",
      `The links could not all be written to ${path}.`,
      "The mailboxes are imported. Make room, and run the same import with another --links-to: it makes new links for all who still need one.",
    );
  }
}

function newFile(path: string): number {
  try {
    return openSync(path, "wx", 0o600);
  } catch (error) {
    const isThere = error instanceof Error && "code" in error && error.code === "EEXIST";
    throw new UsageError(
      isThere ? `The file ${path} exists already. Name a new one.` : `The file ${path} cannot be written.`,
    );
  }
}

/** A line of the file; undefined for an inactive mailbox. @throws MailError */
async function linkFor(runtime: Runtime, email: string): Promise<string | undefined> {
  try {
    const { url, expires_at } = await resultOf(runtime, createPasswordLink, { email, kind: "first" });
    return `${email},${url},${expires_at}\n`;
  } catch (error) {
    if (error instanceof MailError && error.code === "user_inactive") return undefined;
    throw error;
  }
}
