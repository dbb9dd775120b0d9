/** Reads the shipped files in deploy/ and the tests' additions to them. */
import { copyFileSync, readdirSync, readFileSync, utimesSync, writeFileSync } from "node:fs";
import { join } from "node:path";

export const DEPLOY = join(import.meta.dirname, "../../deploy");

type Values = Readonly<Record<string, string>>;

/** Returns a file in deploy/ with its paths (the keys of `values`) replaced by a test's. */
export function shipped(name: string, values: Values = {}): string {
  return filled(join(DEPLOY, name), values);
}

/** Writes a main.cf of deploy/ to a folder, with the files beside it by which Postfix asks the replica. */
export function writePostfixFiles(name: string, folder: string): void {
  for (const file of readdirSync(DEPLOY).filter((one) => /^m25-.*\.cf$/.test(one)))
    copyFileSync(join(DEPLOY, file), join(folder, file));
  writeFileSync(join(folder, "main.cf"), shipped(name, { "/etc/postfix/m25-": `${folder}/m25-` }));
}

/** Makes files of Postfix's configuration a minute old: its programs wait until each file is two seconds old. */
export function agePostfixFiles(folder: string): void {
  const minuteAgo = Date.now() / 1000 - 60;
  for (const file of readdirSync(folder).filter((one) => one.endsWith(".cf")))
    utimesSync(join(folder, file), minuteAgo, minuteAgo);
}

/** Returns a file in test/mail/overlay/ with its @NAMES@ (the keys of `values`) filled in. */
export function overlay(name: string, values: Values = {}): string {
  return filled(join(import.meta.dirname, "overlay", name), values);
}

/** Throws for a key that does not occur, because then the file has changed and the test has not. */
function filled(file: string, values: Values): string {
  let text = readFileSync(file, "utf8");
  for (const [key, value] of Object.entries(values)) {
    if (!text.includes(key)) throw new Error(`${file} does not contain ${key}`);
    text = text.replaceAll(key, value);
  }
  return text;
}
