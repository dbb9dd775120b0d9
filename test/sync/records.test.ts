import fc from "fast-check";
import { expect, test } from "vitest";
import { canonicalLine, parseRecord } from "../../src/sync/records.ts";
import { appPasswords, mailRecord, SMALL } from "../support/records.ts";
import { fakeHash } from "../support/store.ts";

test("a record's line parses back to the record", () => {
  fc.assert(
    fc.property(mailRecord, (record) => {
      expect(parseRecord(canonicalLine(record), "mail")).toEqual(record);
    }),
  );
});

const user = canonicalLine(SMALL[2] ?? { domain: "" });
const apps = appPasswords(["one", "two"]);
const withApps = (value: unknown) => user.replace(/}$/, `,"app_passwords":${JSON.stringify(value)}}`);
const hashes = Object.entries(apps);
const withLimit = (value: unknown, line = user) =>
  line.replace(/}$/, `,"sending_limit":${JSON.stringify(value)}}`);

test.each([
  ["nothing", ""],
  ["no JSON", "{"],
  ["null", "null"],
  ["a list", "[]"],
  ["a number", "5"],
  ["no known field", "{}"],
  ["a space that the server does not write", `${user} `],
  ["an unknown field", user.replace(/}$/, ',"admin":true}')],
  ["a field twice", user.replace(/}$/, ',"quota_mb":1024}')],
  ["the fields in another order", '{"mailbox":"00112233445566ff","user":"jan@example.nl"}'],
  ["an escaped letter", user.replace("jan@", "\\u006aan@")],
  ["upper case", user.replace("jan@", "Jan@")],
  ["a colon in the address, which splits a passwd-file's line", user.replace("jan@", "ja:n@")],
  ["a line feed in the address", user.replace("jan@", "ja\\nn@")],
  ["a path in the address", user.replace("jan@", "../jan@")],
  ["no address", user.replace("jan@example.nl", "jan")],
  ["a password in clear", user.replace("{BLF-CRYPT}", "{PLAIN}")],
  ["a hash that is cut short", user.replace(/.","quota/, '","quota')],
  ["no quota", user.replace('"quota_mb":1024,', "")],
  ["quota 0", user.replace("1024", "0")],
  ["a negative quota", user.replace("1024", "-1")],
  ["a fractional quota", user.replace("1024", "1.5")],
  ["a quota in another spelling", user.replace("1024", "1024.0")],
  ["a quota as text", user.replace("1024", '"1024"')],
  ["a mailbox id that is a path", user.replace("00112233445566ff", "../../../etc/pass")],
  ["a mailbox id in upper case", user.replace("66ff", "66FF")],
  ["app passwords that are none", withApps({})],
  ["app passwords that are null", withApps(null)],
  ["app passwords as a list", withApps(Object.values(apps))],
  ["app passwords out of order", withApps(Object.fromEntries(hashes.toReversed()))],
  ["a selector that is not one", withApps({ phone: hashes[0]?.[1] })],
  ["an app password's slow hash", withApps({ [hashes[0]?.[0] ?? ""]: fakeHash("slow") })],
  ["an app password in clear", withApps({ [hashes[0]?.[0] ?? ""]: "{PLAIN}secret" })],
  ["21 app passwords", withApps(appPasswords(Array.from({ length: 21 }, (_, n) => `p${n}`)))],
  ["a sending limit that is none", withLimit({})],
  ["a sending limit that is null", withLimit(null)],
  ["a sending limit as a list", withLimit([200])],
  ["a sending limit out of order", withLimit({ day: 1000, hour: 200 })],
  ["a sending limit of another period", withLimit({ week: 1 })],
  ["a negative sending limit", withLimit({ hour: -1 })],
  ["a sending limit that is no number", withLimit({ hour: "200" })],
  [
    "a sending limit before the app passwords",
    withLimit({ hour: 1 }).replace(/}$/, `,"app_passwords":${JSON.stringify(apps)}}`),
  ],
  ["a domain's wrong sending limit", withLimit({ hour: 1.5 }, '{"domain":"example.nl"}')],
  ["a domain of one label", '{"domain":"localhost"}'],
  ["a domain with a slash", '{"domain":"example.nl/x"}'],
  ["a domain that is not text", '{"domain":["example.nl"]}'],
  ["a domain and a user in one", '{"domain":"example.nl","user":"jan@example.nl"}'],
])("a line with %s is not a record", (_what, line) => {
  expect(parseRecord(line, "mail")).toBeUndefined();
});

test("an mx refuses app passwords, and a mail node takes them", () => {
  expect(parseRecord(withApps(apps), "mail")).toMatchObject({ app_passwords: apps });
  expect(parseRecord(withApps(apps), "mx")).toBeUndefined();
  const address = '{"user":"jan@example.nl"}';
  const further = `,"app_passwords":${JSON.stringify(apps)}}`;
  for (const role of ["mail", "mx"] as const)
    expect(parseRecord(address.replace("}", further), role)).toBeUndefined();
});

test("an mx refuses sending limits, and a mail node takes them", () => {
  const limit = { hour: 500, day: 0 };
  for (const line of [user, '{"domain":"example.nl"}']) {
    expect(parseRecord(withLimit(limit, line), "mail")).toMatchObject({ sending_limit: limit });
    expect(parseRecord(withLimit(limit, line), "mx")).toBeUndefined();
  }
  expect(parseRecord(withLimit(limit, '{"user":"jan@example.nl"}'), "mx")).toBeUndefined();
});

test("any text is either no record or the only form of a record", () => {
  fc.assert(
    fc.property(fc.oneof(fc.json(), fc.string({ unit: "binary" })), (line) => {
      const record = parseRecord(line, "mail");
      if (record !== undefined) expect(canonicalLine(record)).toBe(line);
    }),
  );
});
