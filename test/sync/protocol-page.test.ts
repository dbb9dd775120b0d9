import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { encodeEnd, encodeHeader, type Header } from "../../src/sync/answer.ts";
import { StateDigest } from "../../src/sync/digest.ts";
import { refusalReasons } from "../../src/sync/reader.ts";
import { canonicalLine, type MailRecord, removalLine } from "../../src/sync/records.ts";
import { failureReasons, withheldReasons } from "../../src/sync/report.ts";
import { AnswerReader } from "../support/answer-reader.ts";

const page = readFileSync(join(import.meta.dirname, "../../docs/protocol.md"), "utf8");

const domain = { domain: "example.nl" };
const user = (name: string, mailbox: string) => ({
  user: `${name}@example.nl`,
  password: "{BLF-CRYPT}$2b$10$abcdefghijklmnopqrstuuLq4sh6zEpvGXWhxWl9oGYzC1qUkpGzK",
  quota_mb: 1024,
  mailbox,
});
const jan = user("jan", "0123456789abcdef");
const anna = user("anna", "fedcba9876543210");

function header(kind: Header["kind"], revision: number, records: MailRecord[]): string {
  const digest = new StateDigest();
  for (const record of records) digest.add(record);
  return encodeHeader({
    kind,
    role: "mail",
    history: "00112233445566778899aabbccddeeff",
    revision,
    digest: digest.toString(),
    counts: { domains: 1, users: records.length - 1, aliases: 0, domain_aliases: 0 },
    cursor: `cursor-${revision}`,
  });
}

const snapshot = [
  header("snapshot", 2, [domain, jan]),
  canonicalLine(domain),
  canonicalLine(jan),
  encodeEnd(2),
];
const delta = [
  header("delta", 4, [domain, anna]),
  canonicalLine(anna),
  removalLine({ user: jan.user, removed: true }),
  encodeEnd(2),
];

/** Returns the page's table of report reasons: status and name. */
function reasons(): string[] {
  const rows = page.matchAll(/^\| (refused|failed|withheld) \| (\w+) \| [^|]+ \| [^|]*\|$/gm);
  return [...rows].map(([, status, reason]) => `${status} ${reason}`);
}

/** Returns the lines of the block that follows the marker. */
function example(name: string): string[] {
  const [, rest = ""] = page.split(`<!-- example: ${name} -->\n\n\`\`\`json\n`);
  const [block = ""] = rest.split("\n```");
  return block.split("\n");
}

test("the page's example of a snapshot is the protocol's, byte for byte", () => {
  expect(example("snapshot")).toEqual(snapshot);
});

test("the page's example of a delta is the protocol's, byte for byte", () => {
  expect(example("delta")).toEqual(delta);
});

test("the page lists every reason of a report under its status, and no other", () => {
  expect(reasons()).toEqual([
    ...Object.keys(refusalReasons).map((reason) => `refused ${reason}`),
    ...failureReasons.map((reason) => `failed ${reason}`),
    ...withheldReasons.map((reason) => `withheld ${reason}`),
  ]);
});

test("a node that reads the page's examples in order ends with the added mailbox", () => {
  const first = new AnswerReader();
  for (const line of example("snapshot")) first.push(line);
  const second = new AnswerReader(first.finish());
  for (const line of example("delta")) second.push(line);
  expect([...second.finish().users.keys()]).toEqual(["anna@example.nl"]);
});
