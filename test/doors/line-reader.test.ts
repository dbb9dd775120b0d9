import fc from "fast-check";
import { expect, test } from "vitest";
import { LineReader } from "../../src/doors/mcp/line-reader.ts";

const MOST = 20;

test("lines are the same in any division into chunks, and a line that is too long is not kept", () => {
  fc.assert(
    fc.property(
      fc.array(fc.string({ unit: "binary", maxLength: 12 }).map((text) => text.replaceAll("\n", " "))),
      fc.array(fc.nat({ max: 30 })),
      (texts, sizes) => {
        const bytes = Buffer.from(texts.map((text) => `${text}\n`).join(""));
        const expected = texts.map((text) => (Buffer.byteLength(text) > MOST ? undefined : text));
        const lines = new LineReader(MOST);
        const found: Array<string | undefined> = [];
        let start = 0;
        for (const size of [...sizes, bytes.length]) {
          found.push(
            ...[...lines.endingIn(bytes.subarray(start, start + size))].map((line) => line?.toString()),
          );
          start += size;
        }
        expect(found).toEqual(expected.map((text) => text && Buffer.from(text).toString()));
      },
    ),
  );
});
