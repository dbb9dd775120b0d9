import { closeSync, existsSync, openSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Store } from "../../db/store.ts";
import { call, type Runtime } from "../../tools/call/call.ts";
import { credentialId, credentialMatches } from "../../tools/call/credential.ts";
import { operator } from "../../tools/call/principal.ts";
import { operatorTools } from "../../tools/operator/index.ts";
import type { Log } from "../log/log.ts";
import { MailError } from "../mail/error.ts";

const fileIn = (folder: string) => join(folder, "first-token");
/** At a terminal the operator reads the token there. */
const needsFile = () => !process.stderr.isTTY;

/**
 * Refuses to create a database if its first token could not be written down.
 *
 * @throws MailError unavailable if the file exists already
 */
export function refuseLeftover(database: string, folder: string): void {
  const path = fileIn(folder);
  if (!needsFile() || !existsSync(path)) return;
  throw new MailError(
    "unavailable",
    `The file ${path} exists already, perhaps with another database's token, and there is no database ${database} yet. None was created.`,
    "Take the token from that file, delete the file and start again; or name the existing database: --db FILE.",
  );
}

/**
 * Creates the first token, because without one nobody can call the server, and gives it to the operator alone. If the
 * database ever had a token, it creates none: the operator can, and may want none. It then only points to the file of
 * the first token, if that is still there: the start that wrote it may have failed afterwards.
 *
 * @returns true if it has made the token: this is the database's first start
 * @throws MailError unavailable if the token cannot be written down, or the file exists already
 */
export async function provideFirstToken(
  store: Store,
  runtime: Runtime,
  folder: string,
  log: Log,
): Promise<boolean> {
  const path = fileIn(folder);
  const told = () => log.info(`the first access token is in ${path}: read it, then delete the file`);
  if (await store.read((tables) => tables.tokens.wereThereEver())) {
    if (await isTokenOf(store, path)) told();
    return false;
  }
  const file = needsFile() ? openTokenFile(path) : undefined;
  const outcome = await call(runtime, {
    principal: operator("cli"),
    tool: operatorTools.createToken,
    input: { name: "first" },
  });
  if (!outcome.ok) {
    if (file !== undefined) {
      closeSync(file);
      rmSync(path);
    }
    if (outcome.error.code === "token_exists") return false; // another server has just made it
    throw outcome.error;
  }
  const token = String(outcome.value.token);
  if (file === undefined) {
    process.stderr.write(`\nThe first access token, shown only once:\n\n  ${token}\n\n`);
    return true;
  }
  writeFileSync(file, `${token}\n`);
  closeSync(file);
  told();
  return true;
}

/**
 * What to do after the first start, a line each.
 *
 * @param shell how the operator calls m25-mail
 * @param db the flag that names the database; "" for the usual one
 */
export function firstSteps(url: string, shell: string, db: string): string[] {
  return [
    `next, a domain and a mailbox: ${shell} domain add example.nl${db}, then ${shell} user add jan@example.nl${db}`,
    `next, a node, which receives their mail: ${shell} node add pi-amsterdam${db}; see docs/nodes.md`,
    `next, an assistant: see docs/assistants.md; or a browser: ${shell} operator set-password${db}, then open ${new URL("/", url)}`,
  ];
}

/** True if the file has a valid token of this database; it may be revoked, or of another database in the same folder. */
async function isTokenOf(store: Store, path: string): Promise<boolean> {
  try {
    const text = readFileSync(path, "utf8").trim();
    const id = credentialId("token", text);
    return id !== undefined && credentialMatches(text, (await store.token(id))?.tokenHash);
  } catch {
    return false; // no file, or none that this user may read
  }
}

/** Opens the file before the token is made, so that no token is lost. Leaves another database's file alone. */
function openTokenFile(path: string): number {
  try {
    return openSync(path, "wx", 0o600);
  } catch (error) {
    const code = error instanceof Error && "code" in error ? error.code : "";
    if (code === "EEXIST") {
      throw new MailError(
        "unavailable",
        `The file ${path} exists already, perhaps with another database's token. This database's first access token was not created.`,
        "Take the token from that file, delete the file and start again; or create a token yourself: m25-mail token create NAME.",
      );
    }
    throw new MailError(
      "unavailable",
      `The first access token cannot be written to ${path} (${code}), and was not created.`,
      "Make that folder writable and start again, or create a token yourself: m25-mail token create NAME.",
    );
  }
}
