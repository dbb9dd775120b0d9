import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { connectStdio } from "../support/clients.ts";
import { serveProcess } from "../support/program.ts";
import { kept, rawDatabase, recount } from "../support/recount.ts";
import { PASSWORD, temporaryFolder } from "../support/store.ts";

/** Concurrent changes, so that the kill interrupts some. */
const WRITERS = 6;

test("a server killed during many changes keeps each acknowledged change, and its database is sound", async () => {
  const database = join(temporaryFolder(), "m25-mail.db");
  const acknowledged = new Set<string>();
  for (let round = 0; round < 3; round += 1) {
    const server = await serveProcess(database);
    const token = readFileSync(join(database, "..", "first-token"), "utf8").trim();
    const stdio = await connectStdio("2.x 2026-07-28", database);
    let storming = true;
    const post = async (endpoint: string, body: object) => {
      const answer = await fetch(`${server.url}/api/${endpoint}`, {
        method: "POST",
        headers: { authorization: `Bearer ${token}`, "content-type": "application/json" },
        body: JSON.stringify(body),
      });
      expect(answer.status).toBe(200);
      await answer.arrayBuffer();
    };
    const overHttp = async (writer: number) => {
      const domain = `http${round}-${writer}.example`;
      await post("add-domain", { domain });
      acknowledged.add(domain);
      for (let number = 0; storming; number += 1) {
        const email = `user${number}@${domain}`;
        await post("add-user", { email, password: PASSWORD });
        acknowledged.add(email);
      }
    };
    const overStdio = async () => {
      for (let number = 0; storming; number += 1) {
        const domain = `stdio${round}-${number}.example`;
        const result = await stdio.callTool({ name: "m25_mail_add_domain", arguments: { domain } });
        if (result.isError) throw new Error(JSON.stringify(result.content));
        acknowledged.add(domain);
      }
    };
    // The server is killed at any point once enough has happened. Its callers must fail.
    const before = acknowledged.size;
    const writers = [
      ...Array.from({ length: WRITERS }, (_, writer) => overHttp(writer).catch(() => {})),
      overStdio().catch((error: unknown) => error),
    ];
    await expect.poll(() => acknowledged.size, { interval: 5 }).toBeGreaterThan(before + 40);
    server.child.kill("SIGKILL");
    storming = false;
    const outcomes = await Promise.all(writers);
    expect(outcomes.at(-1)).toBeUndefined(); // the stdio process is another one and lives on
    await stdio.close();
  }
  const raw = rawDatabase(database);
  expect(raw.pragma("integrity_check", { simple: true })).toBe("ok");
  expect(kept(raw)).toEqual(recount(raw));
  const there = new Set([
    ...raw.prepare<[], string>("SELECT name FROM domains").pluck().all(),
    ...raw
      .prepare<[], string>(
        "SELECT local_part || '@' || name FROM users JOIN domains ON domains.id = domain_id",
      )
      .pluck()
      .all(),
  ]);
  expect([...acknowledged].filter((name) => !there.has(name))).toEqual([]);
});
