import { closeSync, existsSync, openSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import type { Store } from "../../db/store.ts";
import { call, type Runtime } from "../../tools/call.ts";
import { credentialId, credentialMatches } from "../../tools/credential.ts";
import { operatorTools } from "../../tools/operator/index.ts";
import { operator } from "../../tools/principal.ts";
import type { Log } from "../log/log.ts";
import { MailError } from "../mail/error.ts";

const fileBeside = (database: string) => join(dirname(database), "first-token");
/** Who is at a terminal reads the token there. */
const needsFile = () => !process.stderr.isTTY;

/**
 * Before a database is made: where its first token could not be written down, nothing is made.
 *
 * @throws MailError unavailable: the file is there already
 */
export function refuseLeftover(database: string): void {
  const path = fileBeside(database);
  if (!needsFile() || !existsSync(path)) return;
  throw new MailError(
    "unavailable",
    `${path} is there already, perhaps with another database's token, and there is no database ${database} yet: none was made.`,
    "Take what is in that file, delete it and start again, or name the database that is there: --db FILE.",
  );
}

/**
 * A server that nobody can call is of no use: the first token is made, and handed to the operator alone. Where there
 * ever was a token, the operator knows how to make one, and may want none; he is reminded of a first one that still
 * lies there, for the start that made it may have failed after that.
 *
 * @throws MailError unavailable: it cannot be written down, or the file is there already
 */
export async function provideFirstToken(
  store: Store,
  runtime: Runtime,
  database: string,
  log: Log,
): Promise<void> {
  const path = fileBeside(database);
  const told = () => log.info(`the first access token is in ${path}: read it, then delete the file`);
  if (await store.read((tables) => tables.tokens.wereThereEver())) {
    if (isTokenOf(store, path)) told();
    return;
  }
  const file = needsFile() ? openTokenFile(path) : undefined;
  const outcome = await call(runtime, {
    principal: operator("cli"),
    tool: operatorTools.createToken,
    input: { name: "first" },
  });
  if (!outcome.ok) {
    if (file !== undefined) rmSync(path);
    throw outcome.error;
  }
  const token = String(outcome.value.token);
  if (file === undefined) {
    process.stderr.write(`\nThe first access token, shown this once:\n\n  ${token}\n\n`);
    return;
  }
  writeFileSync(file, `${token}\n`);
  closeSync(file);
  told();
}

/** True when the file has a token of this database: it may be another's in the same folder, or revoked. */
function isTokenOf(store: Store, path: string): boolean {
  try {
    const text = readFileSync(path, "utf8").trim();
    const id = credentialId("token", text);
    return id !== undefined && credentialMatches(text, store.token(id)?.tokenHash);
  } catch {
    return false; // no file, or none that this user may read
  }
}

/** Before the token is made: of one that cannot be written down nobody would know. Another database's is left alone. */
function openTokenFile(path: string): number {
  try {
    return openSync(path, "wx", 0o600);
  } catch (error) {
    const code = error instanceof Error && "code" in error ? error.code : "";
    if (code === "EEXIST") {
      throw new MailError(
        "unavailable",
        `${path} is there already, perhaps with another database's token: this database's first access token was not made.`,
        "Take what is in that file, delete it and start again, or make a token yourself: m25-mail token create NAME.",
      );
    }
    throw new MailError(
      "unavailable",
      `The first access token cannot be written to ${path} (${code}), and was not made.`,
      "Make that folder writable and start again, or make a token yourself: m25-mail token create NAME.",
    );
  }
}
