import fc from "fast-check";
import { expect, test } from "vitest";
import { stateTag } from "../../src/sync/answer.ts";
import { RefusedAnswer, refusalReasons } from "../../src/sync/reader.ts";
import { AnswerReader } from "../support/answer-reader.ts";
import { answerOf, HISTORY, SMALL, userRecord } from "../support/records.ts";

const GOOD = answerOf(SMALL);

function read(lines: readonly string[]) {
  const reader = new AnswerReader();
  for (const line of lines) reader.push(line);
  return reader.finish();
}

function refusal(lines: readonly string[]): string {
  try {
    read(lines);
  } catch (error) {
    if (error instanceof RefusedAnswer) return error.reason;
    throw error;
  }
  return "accepted";
}

const header = JSON.parse(GOOD[0] ?? "");
const withHeader = (change: object) => [JSON.stringify({ ...header, ...change }), ...GOOD.slice(1)];

test("a complete answer becomes the state that it describes", () => {
  const state = read(GOOD);
  expect(state).toMatchObject({ history: HISTORY, revision: 7 });
  expect([...state.domains.values(), ...state.users.values()]).toEqual(SMALL);
});

test("a state without domains is valid", () => {
  expect(read(answerOf([])).domains.size).toBe(0);
});

test.each([
  ["no lines", [], "not_maps"],
  ["a web page", ["<!doctype html>", "<p>Login</p>"], "not_maps"],
  ["JSON of something else", ['{"error":"x"}'], "not_maps"],
  ["null", ["null"], "not_maps"],
  ["a later protocol", withHeader({ protocol: "m25-mail-sync-3" }), "wrong_protocol"],
  ["a delta, which was not asked for", withHeader({ kind: "delta" }), "wrong_protocol"],
  ["no history", withHeader({ history: undefined }), "not_maps"],
  ["a history that is a path", withHeader({ history: "../../etc" }), "not_maps"],
  ["a revision below zero", withHeader({ revision: -1 }), "not_maps"],
  ["a fractional revision", withHeader({ revision: 1.5 }), "not_maps"],
  ["no counts", withHeader({ counts: null }), "not_maps"],
  [
    "counts of another state",
    withHeader({ counts: { domains: 2, users: 3, aliases: 0, domain_aliases: 0 } }),
    "wrong_counts",
  ],
  ["the digest of another state", withHeader({ digest: "0".repeat(64) }), "wrong_digest"],
  ["the header alone", GOOD.slice(0, 1), "cut_short"],
  ["no end line", GOOD.slice(0, -1), "cut_short"],
  ["half a last line", [...GOOD.slice(0, -1), '{"end"'], "damaged_record"],
  ["half a record", [...GOOD.slice(0, 3), GOOD[3]?.slice(0, 50) ?? "", ...GOOD.slice(4)], "damaged_record"],
  ["a record that is missing", [...GOOD.slice(0, 3), ...GOOD.slice(4)], "wrong_counts"],
  ["a record twice", [...GOOD.slice(0, 4), ...GOOD.slice(3)], "duplicate_record"],
  ["a user before its domain", [GOOD[0] ?? "", GOOD[3] ?? ""], "foreign_user"],
  ["an empty line between", [...GOOD.slice(0, 2), "", ...GOOD.slice(2)], "damaged_record"],
  ["something after the end line", [...GOOD, GOOD[1] ?? ""], "wrong_counts"],
  ["the end line twice", [...GOOD, GOOD.at(-1) ?? ""], "wrong_counts"],
  ["an end line in another spelling", [...GOOD.slice(0, -1), '{"end": 4}'], "wrong_counts"],
  ["an end line with another count", [...GOOD.slice(0, -1), '{"end":3}'], "wrong_counts"],
])("an answer with %s is refused", (_what, lines, reason) => {
  expect(refusal(lines)).toBe(reason);
  expect(Object.keys(refusalReasons)).toContain(reason);
});

/** A body with one byte changed, inserted or removed, with its end cut off, or with two lines swapped. */
function damaged(body: Buffer): fc.Arbitrary<Buffer> {
  const position = fc.integer({ min: 0, max: body.length - 1 });
  const byte = fc.integer({ min: 0, max: 255 });
  const lines = body.toString("latin1").split("\n");
  const line = fc.integer({ min: 0, max: lines.length - 1 });
  return fc.oneof(
    fc.tuple(position, byte).map(([at, value]) => Buffer.from(body).fill(value, at, at + 1)),
    fc
      .tuple(position, byte)
      .map(([at, value]) => Buffer.concat([body.subarray(0, at), Buffer.from([value]), body.subarray(at)])),
    position.map((at) => Buffer.concat([body.subarray(0, at), body.subarray(at + 1)])),
    position.map((at) => body.subarray(0, at)),
    fc.tuple(line, line).map(([from, to]) => {
      const moved = [...lines];
      moved.splice(to, 0, ...moved.splice(from, 1));
      return Buffer.from(moved.join("\n"), "latin1");
    }),
    line.map((at) => Buffer.from(lines.toSpliced(at, 1).join("\n"), "latin1")),
    line.map((at) => Buffer.from(lines.toSpliced(at, 0, lines[at] ?? "").join("\n"), "latin1")),
  );
}

test("an answer that is damaged in one place is refused or still describes the same state", () => {
  const bodies = fc
    .uniqueArray(userRecord, { maxLength: 4, selector: ({ user }) => user })
    .map((users) => {
      const domains = new Set(users.map(({ user }) => user.slice(user.indexOf("@") + 1)));
      const records = [...[...domains].map((domain) => ({ domain })), ...users];
      return { records, lines: answerOf(records) };
    })
    .chain(({ records, lines }) =>
      fc.record({ records: fc.constant(records), body: damaged(Buffer.from(lines.join("\n"))) }),
    );
  let refused = 0;
  fc.assert(
    fc.property(bodies, ({ records, body }) => {
      const lines = body.toString("utf8").split("\n");
      if (refusal(lines) !== "accepted") {
        refused += 1;
        return;
      }
      const { domains, users } = read(lines);
      expect(new Set([...domains.values(), ...users.values()])).toEqual(new Set(records));
    }),
    { numRuns: 3000 },
  );
  expect(refused).toBeGreaterThan(1000);
});

test("the tag of a state differs by revision and by content", () => {
  const digest = "a".repeat(64);
  expect(stateTag({ revision: 7, digest })).toBe(`"7-${digest}"`);
  expect(stateTag({ revision: 8, digest })).not.toBe(stateTag({ revision: 7, digest }));
  expect(stateTag({ revision: 7, digest: "b".repeat(64) })).not.toBe(stateTag({ revision: 7, digest }));
});
