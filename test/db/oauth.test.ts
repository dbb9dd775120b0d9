import { join } from "node:path";
import { expect, test } from "vitest";
import { backUp } from "../../db/sqlite/backup.ts";
import { restore } from "../../db/sqlite/restore.ts";
import { openStore } from "../../db/sqlite/store.ts";
import type { Store, Tables } from "../../db/store.ts";
import { onPostgresql } from "../support/engine.ts";
import { rawDatabase } from "../support/recount.ts";
import { temporaryFolder, testStore } from "../support/store.ts";

const save = (store: Store, kind: string, text: string, expiresAt: number, grantId: string | null = null) =>
  store.write((tables) =>
    tables.oauth.save(kind, text, { payload: { text }, grantId, uid: null, expiresAt }),
  );

const find = (store: Store, kind: string, text: string) =>
  store.read((tables) => tables.oauth.find(kind, text));

const beginRequest = (tables: Tables, text: string, subscriber: string, expiresAt: number) =>
  tables.oauth.beginRequest(text, { payload: {}, subscriber, expiresAt });

test("a flood of sign-in requests pushes out only its own, never another address's", async () => {
  const { store } = testStore();
  await save(store, "Grant", "a grant", 1);
  await store.write(async (tables) => {
    await beginRequest(tables, "the operator's", "198.51.100.1", 0);
    for (let number = 0; number < 1_010; number += 1) {
      await beginRequest(tables, `request ${number}`, `192.0.2.${number % 3}`, number);
    }
  });
  expect(await find(store, "Interaction", "the operator's")).toBeDefined();
  expect(await find(store, "Interaction", "request 10")).toBeUndefined();
  expect(await find(store, "Interaction", "request 11")).toBeDefined();
  expect(await find(store, "Interaction", "request 1009")).toBeDefined();
  expect(await find(store, "Grant", "a grant")).toBeDefined();
});

test("a signed-in request is kept, even through a thousand others from everywhere", async () => {
  const { store } = testStore();
  await store.write(async (tables) => {
    await beginRequest(tables, "signed in", "198.51.100.1", 0);
    await beginRequest(tables, "denied", "198.51.100.2", 1);
    await tables.oauth.answerRequest("signed in", { payload: { result: "yes" }, isSignedIn: true });
    await tables.oauth.answerRequest("denied", { payload: { result: "no" }, isSignedIn: false });
    for (let number = 0; number < 1_000; number += 1) {
      await beginRequest(tables, `request ${number}`, `192.0.2.${number}`, 2 + number);
    }
  });
  expect(await find(store, "Interaction", "signed in")).toMatchObject({ payload: { result: "yes" } });
  expect(await find(store, "Interaction", "denied")).toBeUndefined();
});

test.each(["AuthorizationCode", "AccessToken", "RefreshToken"])(
  "after a grant has ended, none of its tokens is saved or found: %s",
  async (kind) => {
    const { store } = testStore();
    await save(store, "Grant", "ended", 100);
    await save(store, kind, "before", 100, "ended");
    await store.write((tables) => tables.oauth.remove("Grant", "ended"));
    expect(await find(store, kind, "before")).toBeUndefined();
    expect(await save(store, kind, "after", 100, "ended")).toBe(false);
    expect(await find(store, kind, "after")).toBeUndefined();
  },
);

test("expired entries are removed, others stay", async () => {
  const { store } = testStore();
  await save(store, "Grant", "one", 101);
  await save(store, "AccessToken", "old", 100, "one");
  await save(store, "AccessToken", "new", 101, "one");
  await store.write((tables) => tables.grants.addClient("cursor", ["https://client.example/back"]));
  await store.write((tables) => tables.oauth.forgetExpired(100));
  expect(await find(store, "AccessToken", "old")).toBeUndefined();
  expect(await find(store, "AccessToken", "new")).toBeDefined();
  expect(await find(store, "Client", "cursor")).toBeDefined();
});

test("the end of a grant ends all its tokens, and those of no other grant", async () => {
  const { store, file } = testStore();
  for (const grant of ["one", "another"]) await save(store, "Grant", grant, 100);
  for (const kind of ["AuthorizationCode", "AccessToken", "RefreshToken"]) {
    await save(store, kind, `one's ${kind}`, 100, "one");
    await save(store, kind, `another's ${kind}`, 100, "another");
  }
  await store.write((tables) => tables.oauth.endGrant("one"));
  expect(await find(store, "Grant", "one")).toBeUndefined();
  for (const kind of ["AuthorizationCode", "AccessToken", "RefreshToken"]) {
    expect(await find(store, kind, `one's ${kind}`)).toBeUndefined();
    expect(await find(store, kind, `another's ${kind}`)).toBeDefined();
  }
  expect(rawDatabase(file).prepare("SELECT count(*) FROM oauth").pluck().get()).toBe(4);
});

// The backup is of SQLite's file.
test.skipIf(onPostgresql)("a restored backup restores no revoked grant and no former password", async () => {
  const { store, file } = testStore();
  const backup = join(temporaryFolder(), "backup.db");
  await save(store, "Grant", "revoked later", 100);
  await save(store, "Grant", "kept", 100);
  await store.write((tables) => tables.operator.setPasswordHash("the former", "2026-01-01T00:00:00.000Z"));
  await backUp(file, backup);
  await store.write((tables) => tables.oauth.endGrant("revoked later"));
  await store.write((tables) => tables.operator.setPasswordHash("the new", "2026-01-02T00:00:00.000Z"));
  await restore(file, backup);
  expect(await find(store, "Grant", "revoked later")).toBeUndefined();
  expect(await find(store, "Grant", "kept")).toBeDefined();
  expect(await store.read((tables) => tables.operator.passwordHash())).toBe("the new");
});

test.skipIf(onPostgresql)(
  "into an empty database a backup also restores grants and the password",
  async () => {
    const { store, file } = testStore();
    const folder = temporaryFolder();
    await save(store, "Grant", "kept", 100);
    await store.write((tables) => tables.operator.setPasswordHash("the hash", "2026-01-01T00:00:00.000Z"));
    await backUp(file, join(folder, "backup.db"));
    const other = openStore(join(folder, "other.db"), { create: true });
    await restore(join(folder, "other.db"), join(folder, "backup.db"));
    expect(await find(other, "Grant", "kept")).toBeDefined();
    expect(await other.read((tables) => tables.operator.passwordHash())).toBe("the hash");
    await other.close();
  },
);
