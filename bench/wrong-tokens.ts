import { join } from "node:path";
import type { FastifyRequest } from "fastify";
import { openStore } from "../db/sqlite/store.ts";
import type { Store } from "../db/store.ts";
import { AccessTokens } from "../src/auth/access-tokens.ts";
import type { LastSeen } from "../src/auth/last-seen.ts";
import type { SyncDoor } from "../src/doors/sync/door.ts";
import { authenticateNode } from "../src/doors/sync/node.ts";
import { type CredentialKind, newCredential } from "../tools/call/credential.ts";
import { benchmark, median, print, printTable, quantile, temporaryFolder } from "./support.ts";

const CHECKS = Number(process.env.CHECKS ?? 100_000);

/**
 * Does the time of a refusal reveal whether a token's id exists, whether a secret has the right beginning, or whether a
 * sync key has ended? Measured inside the process, because a network only hides the difference.
 */
await benchmark(async () => {
  const store = openStore(join(temporaryFolder(), "m25-mail.db"), { create: true });
  await tokens(store);
  await syncKeys(store);
  await store.close();
  print("50 % is chance: whoever sees one time guesses no better than by a coin.");
});

async function tokens(store: Store): Promise<void> {
  const right = newCredential("token");
  const at = new Date().toISOString();
  const limits = { scopes: ["read"], domains: null, expiresAt: null };
  await store.write(({ tokens }) =>
    tokens.add({ name: "t", tokenId: right.id, tokenHash: right.hash, ...limits }, at),
  );
  const last = right.text.endsWith("0") ? "1" : "0";
  const never: Pick<LastSeen, "token"> = {
    token() {
      throw new Error("a wrong token was taken");
    },
  };
  const access = new AccessTokens(store, never);
  await measure(
    {
      "unknown id": () => newCredential("token").text,
      "wrong secret": () => withId("token", right.id),
      "all but the last digit right": () => `${right.text.slice(0, -1)}${last}`,
    },
    (credential) => access.authenticate(credential, "rest", new Date()),
  );
}

/** Checks keys as the door does, without the HTTP request, and without the hourly report of an ended key. */
async function syncKeys(store: Store): Promise<void> {
  const [ended, right] = [newCredential("syncKey"), newCredential("syncKey")];
  const at = new Date().toISOString();
  await store.write(async ({ nodes }) => {
    await nodes.add({ name: "pi", ipAddress: null, keyId: ended.id, keyHash: ended.hash }, at);
    await nodes.addOperatorsKey("pi", right, at, at);
    const [node] = await nodes.all();
    await nodes.promoteKey(node?.id ?? 0, right.hash, at);
  });
  const door = { now: () => new Date(), endedKeyUses: { note() {} } } as unknown as SyncDoor;
  await measure(
    {
      "unknown id": () => newCredential("syncKey").text,
      "wrong secret": () => withId("syncKey", right.id),
      "wrong secret of an ended key": () => withId("syncKey", ended.id),
      "ended key": () => ended.text,
    },
    async (credential) => {
      const headers = { authorization: `Bearer ${credential}` };
      const polls = await store.polls.look();
      try {
        authenticateNode(door, polls, { headers } as FastifyRequest);
      } catch {
        return;
      }
      throw new Error("a wrong key was taken");
    },
  );
}

function withId(kind: CredentialKind, id: string): string {
  return newCredential(kind).text.replace(/_[0-9a-f]+_/, `_${id}_`);
}

async function measure(
  kinds: Record<string, () => string>,
  check: (credential: string) => Promise<unknown>,
): Promise<void> {
  const names = Object.keys(kinds);
  const times = new Map<string, number[]>(names.map((name) => [name, []]));
  for (let turn = -10_000; turn < CHECKS * names.length; turn += 1) {
    const name = names[Math.floor(Math.random() * names.length)] ?? "";
    // Make it one flat text, as a header is.
    const credential = Buffer.from(kinds[name]?.() ?? "").toString("latin1");
    const begin = process.hrtime.bigint();
    await check(credential);
    const took = Number(process.hrtime.bigint() - begin) / 1000;
    if (turn >= 0) times.get(name)?.push(took);
  }
  const wrong = times.get("wrong secret") ?? [];
  printTable(
    ["refused", "checks", "median µs", "p90 µs", "guessed rightly against a wrong secret"],
    names.map((name) => {
      const own = times.get(name) ?? [];
      const odds = name === "wrong secret" ? "" : `${(100 * separation(own, wrong)).toFixed(1)} %`;
      return [name, String(own.length), median(own).toFixed(2), quantile(own, 0.9).toFixed(2), odds];
    }),
  );
}

/** How often the better guess at which of two times belongs to which kind is right (the area under the ROC curve). */
function separation(one: readonly number[], other: readonly number[]): number {
  const all = [...one.map((time) => ({ time, one: 1 })), ...other.map((time) => ({ time, one: 0 }))];
  all.sort((a, b) => a.time - b.time);
  let ranks = 0;
  for (let from = 0; from < all.length; ) {
    let to = from;
    while (all[to]?.time === all[from]?.time) to += 1;
    for (let at = from; at < to; at += 1) ranks += ((all[at]?.one ?? 0) * (from + to + 1)) / 2;
    from = to;
  }
  const area = (ranks - (one.length * (one.length + 1)) / 2) / (one.length * other.length);
  return Math.max(area, 1 - area);
}
