import { join } from "node:path";
import { openStore } from "../db/sqlite.ts";
import { AccessTokens } from "../src/auth/access-tokens.ts";
import type { LastSeen } from "../src/auth/last-seen.ts";
import { newCredential } from "../tools/credential.ts";
import { benchmark, median, print, printTable, quantile, temporaryFolder } from "./support.ts";

const CHECKS = Number(process.env.CHECKS ?? 100_000);

/**
 * Whether the time that a refusal takes tells a token whose id exists from one whose id does not, and a secret
 * that begins rightly from one that does not. In the process itself: what the network adds only hides it.
 */
await benchmark(async () => {
  const store = openStore(join(temporaryFolder(), "m25-mail.db"), { create: true });
  const right = newCredential("token");
  const [prefix = "", id = "", secret = ""] = right.text.split("_");
  await store.write(({ tokens }) =>
    tokens.add(
      { name: "t", tokenId: id, tokenHash: right.hash, scopes: ["read"], domains: null, expiresAt: null },
      new Date().toISOString(),
    ),
  );
  const last = secret.endsWith("0") ? "1" : "0";
  const kinds = {
    "unknown id": () => newCredential("token").text,
    "wrong secret": () => `${prefix}_${id}_${newCredential("token").text.split("_")[2]}`,
    "all but the last digit right": () => `${prefix}_${id}_${secret.slice(0, -1)}${last}`,
  };
  const names = Object.keys(kinds) as Array<keyof typeof kinds>;
  const times = new Map<string, number[]>(names.map((name) => [name, []]));
  const never: Pick<LastSeen, "token"> = {
    token() {
      throw new Error("a wrong token was taken");
    },
  };
  const tokens = new AccessTokens(store, never);
  for (let check = -10_000; check < CHECKS * names.length; check += 1) {
    const name = names[Math.floor(Math.random() * names.length)] ?? "unknown id";
    // As a header comes: one flat text, however it was put together.
    const credential = Buffer.from(kinds[name]()).toString("latin1");
    const begin = process.hrtime.bigint();
    await tokens.authenticate(credential, "rest", new Date());
    const took = Number(process.hrtime.bigint() - begin) / 1000;
    if (check >= 0) times.get(name)?.push(took);
  }
  await store.close();
  const wrong = times.get("wrong secret") ?? [];
  printTable(
    ["refused", "checks", "median µs", "p90 µs", "guessed rightly against a wrong secret"],
    names.map((name) => {
      const own = times.get(name) ?? [];
      const odds = name === "wrong secret" ? "" : `${(100 * separation(own, wrong)).toFixed(1)} %`;
      return [name, String(own.length), median(own).toFixed(2), quantile(own, 0.9).toFixed(2), odds];
    }),
  );
  print("50 % is chance: whoever sees one time guesses no better than by a coin.");
});

/** How often the better guess, which of two times is whose, is right (the area under the ROC curve). */
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
