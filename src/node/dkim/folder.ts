import { createHash, createPrivateKey, createPublicKey, generateKeyPair } from "node:crypto";
import { chmod, chown, lstat, readdir, readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { type Ownership, writeDurably } from "../../machine/durable-file.ts";
import { absent, ConfigurationError } from "../../machine/faults.ts";
import type { Machine } from "../../machine/machine.ts";
import { dkimSelector } from "../../mail/dkim-key.ts";
import { makeFolder } from "../server/key.ts";
import { dropKeys, emptyBook, type KeyBook, presentKeys, signingKey } from "./keys.ts";

/** The group that may read the private keys: Debian's opendkim signs. */
const SIGNER = "opendkim";

const BOOK = "keys.json";
const PRIVATE = "private";

/** The folder with the private keys, the tables of the signer, and what the node remembers of them. */
export class KeyFolder {
  readonly book: KeyBook;
  readonly #path: string;
  readonly #access: Ownership;
  /** The content of keys.json. */
  #written: string;

  private constructor(path: string, access: Ownership, book: KeyBook, written: string) {
    this.#path = path;
    this.#access = access;
    this.book = book;
    this.#written = written;
  }

  /**
   * Opens the folder, or makes it. Keys whose files are gone are forgotten, and get others.
   *
   * @throws ConfigurationError if its notes are damaged, or nobody could sign; system errors
   */
  static async open(machine: Machine, path: string): Promise<KeyFolder> {
    const access = await accessOf(machine);
    for (const folder of [path, join(path, PRIVATE)]) await openFolder(folder, access);
    const written = (await readFile(join(path, BOOK), "utf8").catch(absent)) ?? "";
    const book = written === "" ? emptyBook() : readBook(written, join(path, BOOK));
    const files = new Set(await readdir(join(path, PRIVATE)));
    const lost = dropKeys(book, (selector) => !files.has(`${selector}.pem`));
    if (lost > 0) machine.log(`${lost} DKIM keys are gone from ${path}: their domains get others`);
    return new KeyFolder(path, access, book, written);
  }

  /** Makes a key, and writes its private half. @returns its selector */
  async makeKey(): Promise<string> {
    const { publicKey, privateKey } = await generate("rsa", {
      modulusLength: 2048,
      publicKeyEncoding: { type: "spki", format: "der" },
      privateKeyEncoding: { type: "pkcs8", format: "pem" },
    });
    const selector = dkimSelector(publicKey.toString("base64"));
    await writeDurably(this.#keyFile(selector), privateKey, this.#access);
    return selector;
  }

  /** The public halves of a domain's present keys, as SubjectPublicKeyInfo in base64. Damaged ones are removed. */
  async publicKeys(domain: string): Promise<string[]> {
    const present = presentKeys(this.book.domains[domain] ?? { keys: [], told: true });
    const found = await Promise.all(present.map(({ selector }) => this.#publicKey(selector)));
    for (const [index, { selector }] of present.entries()) {
      if (found[index] !== undefined) continue;
      dropKeys(this.book, (one) => one === selector);
      await this.removeKey(selector);
    }
    return found.filter((key) => key !== undefined);
  }

  async #publicKey(selector: string): Promise<string | undefined> {
    const pem = await readFile(this.#keyFile(selector));
    try {
      const spki = createPublicKey(createPrivateKey(pem)).export({ type: "spki", format: "der" });
      const text = spki.toString("base64");
      return dkimSelector(text) === selector ? text : undefined;
    } catch {
      return undefined;
    }
  }

  async removeKey(selector: string): Promise<void> {
    await rm(this.#keyFile(selector), { force: true });
  }

  /** Writes keys.json, if it has changed. */
  async save(): Promise<void> {
    const text = `${JSON.stringify(this.book)}\n`;
    if (text === this.#written) return;
    await writeDurably(join(this.#path, BOOK), text, { mode: 0o600 });
    this.#written = text;
  }

  /**
   * Writes opendkim's tables, if they have changed.
   *
   * @returns their digest
   */
  async writeTables(): Promise<string> {
    const rows = Object.entries(this.book.domains).flatMap(([domain, keys]) => {
      const selector = signingKey(keys)?.selector;
      return selector === undefined ? [] : [{ domain, selector }];
    });
    const keys = rows.map(
      ({ domain, selector }) => `${domain} ${domain}:${selector}:${this.#keyFile(selector)}\n`,
    );
    const senders = rows.map(({ domain }) => `${domain} ${domain}\n`);
    await this.#writeTable("KeyTable", keys.join(""));
    await this.#writeTable("SigningTable", senders.join(""));
    return createHash("sha256").update(keys.join("")).digest("hex");
  }

  async #writeTable(name: string, text: string): Promise<void> {
    const path = join(this.#path, name);
    if ((await readFile(path, "utf8").catch(() => undefined)) === text) return;
    await writeDurably(path, text, this.#access);
  }

  #keyFile(selector: string): string {
    return join(this.#path, PRIVATE, `${selector}.pem`);
  }
}

const generate = promisify(generateKeyPair);

async function accessOf(machine: Machine): Promise<Ownership> {
  if (!machine.root) return { mode: 0o600 };
  const gid = await machine.group(SIGNER);
  if (gid === undefined)
    throw new ConfigurationError(
      `there is no group ${SIGNER}, so nobody can sign (apt-get install ${SIGNER})`,
    );
  return { mode: 0o640, owner: { uid: 0, gid } };
}

/** Only this program and the signer may enter it. */
async function openFolder(path: string, { owner }: Ownership): Promise<void> {
  const mode = owner === undefined ? 0o700 : 0o750;
  const found = await lstat(path).catch(() => undefined);
  if (found === undefined) await makeFolder(path, mode);
  if (owner !== undefined && found?.gid !== owner.gid) await chown(path, owner.uid, owner.gid);
  if (found !== undefined && (found.mode & 0o7777) !== mode) await chmod(path, mode);
}

/** @throws ConfigurationError */
function readBook(text: string, path: string): KeyBook {
  try {
    const book = JSON.parse(text) as KeyBook;
    if (typeof book.cursor === "string" && typeof book.domains === "object") return book;
  } catch {
    // Said below.
  }
  throw new ConfigurationError(
    `${path} is damaged, so DKIM stays as it is: put it back, or remove its folder to begin with new keys and new records`,
  );
}
