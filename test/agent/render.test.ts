import { writeFileSync } from "node:fs";
import { join } from "node:path";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { renderDomains, renderMailboxes, renderSenders, renderUsers } from "../../src/agent/render.ts";
import { thisMachine } from "../../src/agent/this-machine.ts";
import { parseRecord, type UserRecord } from "../../src/sync/records.ts";
import { hash, readUsersFile, stateOf, temporaryFolder, user } from "./support.ts";

const nasty = fc.constantFrom(
  ":",
  "\n",
  "\r",
  "\t",
  " ",
  "\0",
  "%u",
  "%{user}",
  "#",
  "/",
  "..",
  "\\",
  '"',
  "'",
  "+",
  "=",
  "{",
  "@",
  "\u212a",
  "é",
  "\ud800",
);
const valid = fc
  .tuple(
    fc.stringMatching(/^[a-z0-9_]([a-z0-9._-]{0,20}[a-z0-9_-])?$/),
    fc.stringMatching(/^[a-z0-9]{1,10}(\.[a-z]{2,8}){1,2}$/),
  )
  .map(([local, domain]) => `${local}@${domain}`);
const spoilt = fc.tuple(valid, nasty, fc.nat()).map(([address, piece, where]) => {
  const at = where % (address.length + 1);
  return address.slice(0, at) + piece + address.slice(at);
});
const anyAddress = fc.oneof(fc.string({ unit: "binary" }), valid, spoilt);

function accepted(address: string, given: Partial<UserRecord> = {}): UserRecord | undefined {
  // As a hostile server would send it: whatever JSON can say.
  const { password, quota_mb, mailbox } = user("", given);
  const record = parseRecord(JSON.stringify({ user: address, password, quota_mb, mailbox }), "mail");
  return record !== undefined && "password" in record ? record : undefined;
}

describe("what is written for Dovecot and Postfix", () => {
  it("any string as an address is refused, or is read back as exactly one identical record", () => {
    let seen = 0;
    fc.assert(
      fc.property(anyAddress, fc.integer({ min: 1, max: 1_048_576 }), (address, quota_mb) => {
        const record = accepted(address, { quota_mb });
        if (record === undefined) return;
        seen += 1;
        const state = stateOf(1, [], [record]);
        expect(readUsersFile([...renderUsers([record], "/var/vmail")].join(""))).toEqual([record]);
        expect([...renderMailboxes(state)].join("")).toBe(`${address} OK\n`);
        expect([...renderSenders(state)].join("")).toBe(`${address} ${address}\n`);
      }),
      { numRuns: 3000 },
    );
    expect(seen).toBeGreaterThan(500);
  });

  it("any string as a hash, a mailbox or a quota is refused, or does not leave its field", () => {
    fc.assert(
      fc.property(
        fc.oneof(
          fc.string({ unit: "binary" }),
          nasty.map((piece) => hash("a").slice(0, -piece.length) + piece),
        ),
        fc.oneof(
          fc.string(),
          fc.constant("0".repeat(16)),
          nasty.map((piece) => "0".repeat(16 - piece.length) + piece),
        ),
        fc.oneof(fc.integer(), fc.double(), fc.constant(7)),
        (password, mailbox, quota_mb) => {
          const record = accepted("jan@example.nl", { password, mailbox, quota_mb });
          if (record !== undefined) {
            expect(readUsersFile([...renderUsers([record], "/var/vmail")].join(""))).toEqual([record]);
          }
        },
      ),
      { numRuns: 2000 },
    );
  });

  it("postmap reads every address back as the one key that it is", async (context) => {
    const postmap = await thisMachine.find("postmap");
    if (postmap === undefined) return context.skip("postmap is not installed");
    const folder = temporaryFolder();
    writeFileSync(join(folder, "main.cf"), "");
    const edges = ["-", ".", "_"].flatMap((mark) => [
      `a${mark}b@x-y.example`,
      `${mark}a@example.nl`,
      `a${mark}@example.nl`,
    ]);
    const sample = [
      ...fc.sample(anyAddress, 5000),
      ...edges,
      `${"l".repeat(64)}@${"d".repeat(63)}.${"e".repeat(63)}.nl`,
    ];
    const users = sample.map((address) => accepted(address)).filter((record) => record !== undefined);
    const state = stateOf(
      1,
      [...new Set(users.map((record) => record.user.slice(record.user.indexOf("@") + 1)))],
      users,
    );
    for (const [map, render] of Object.entries({
      mailboxes: renderMailboxes,
      senders: renderSenders,
      domains: renderDomains,
    })) {
      writeFileSync(join(folder, map), [...render(state)].join(""));
      const built = await thisMachine.run(postmap, ["-c", folder, `lmdb:${join(folder, map)}`]);
      expect(built).toEqual({ code: 0, stdout: "", stderr: expect.not.stringContaining("duplicate") });
      const dump = await thisMachine.run(postmap, ["-c", folder, "-s", `lmdb:${join(folder, map)}`]);
      const keys = dump.stdout
        .trimEnd()
        .split("\n")
        .map((line) => line.split("\t")[0]);
      expect(keys.sort()).toEqual([...(map === "domains" ? state.domains : state.users).keys()].sort());
    }
    expect(state.users.size).toBeGreaterThan(1000);
  });

  it("the same state makes the same bytes, in whatever order it came", () => {
    const users = ["b@x.nl", "a@x.nl", "a.b@x.nl", "a-b@x.nl"].map((address) => user(address));
    const one = stateOf(1, ["x.nl", "a.nl"], users);
    const other = stateOf(1, ["a.nl", "x.nl"], [...users].reverse());
    for (const render of [renderMailboxes, renderSenders, renderDomains]) {
      expect([...render(other)].join("")).toBe([...render(one)].join(""));
    }
    expect([...renderDomains(one)].join("")).toBe("a.nl OK\nx.nl OK\n");
  });

  it("a line is what Dovecot 2.3 and 2.4 both understand", () => {
    const jan = user("jan@example.nl", { quota_mb: 5, mailbox: "00112233445566ff" });
    expect([...renderUsers([jan], "/srv/mail")].join("")).toBe(
      `jan@example.nl:${hash("a")}::::/srv/mail/example.nl/jan.00112233445566ff::userdb_quota_rule=*:storage=5M userdb_quota_storage_size=5M\n`,
    );
  });
});
