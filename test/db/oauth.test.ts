import { join } from "node:path";
import { expect, test } from "vitest";
import { backUp, restore } from "../../db/backup.ts";
import { openStore } from "../../db/sqlite.ts";
import type { Store } from "../../db/store.ts";
import { temporaryFolder, testStore } from "../support/store.ts";

const save = (store: Store, kind: string, text: string, expiresAt: number, grantId: string | null = null) =>
  store.write((tables) =>
    tables.oauth.save(kind, text, { payload: { text }, grantId, uid: null, expiresAt }),
  );

const find = (store: Store, kind: string, text: string) =>
  store.read((tables) => tables.oauth.find(kind, text));

test("whoever begins sign-ins without end pushes out the oldest ones, and nothing else", async () => {
  const { store } = testStore();
  await save(store, "Grant", "a grant", 1);
  await store.write(async (tables) => {
    for (let number = 0; number < 1_010; number += 1) {
      const record = { payload: {}, grantId: null, uid: null, expiresAt: number };
      await tables.oauth.save("Interaction", `request ${number}`, record);
    }
  });
  expect(await find(store, "Interaction", "request 9")).toBeUndefined();
  expect(await find(store, "Interaction", "request 10")).toBeDefined();
  expect(await find(store, "Interaction", "request 1009")).toBeDefined();
  expect(await find(store, "Grant", "a grant")).toBeDefined();
});

test("what has expired is forgotten, and what has not stays", async () => {
  const { store } = testStore();
  await save(store, "AccessToken", "old", 100);
  await save(store, "AccessToken", "new", 101);
  await store.write((tables) => tables.oauth.addClient("cursor", ["https://client.example/back"]));
  await store.write((tables) => tables.oauth.forgetExpired(100));
  expect(await find(store, "AccessToken", "old")).toBeUndefined();
  expect(await find(store, "AccessToken", "new")).toBeDefined();
  expect(await find(store, "Client", "cursor")).toBeDefined();
});

test("the end of a grant is the end of all that came of it, and of no other's", async () => {
  const { store } = testStore();
  await save(store, "Grant", "one", 100);
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
});

test("a restored backup brings no revoked grant and no former password back", async () => {
  const { store, file } = testStore();
  const backup = join(temporaryFolder(), "backup.db");
  await save(store, "Grant", "revoked later", 100);
  await save(store, "Grant", "kept", 100);
  await store.write((tables) => tables.operator.setPasswordHash("the former", "2026-01-01T00:00:00.000Z"));
  await backUp(file, backup);
  await store.write((tables) => tables.oauth.endGrant("revoked later"));
  await store.write((tables) => tables.operator.setPasswordHash("the new", "2026-01-02T00:00:00.000Z"));
  restore(file, backup);
  expect(await find(store, "Grant", "revoked later")).toBeUndefined();
  expect(await find(store, "Grant", "kept")).toBeDefined();
  expect(await store.read((tables) => tables.operator.passwordHash())).toBe("the new");
});

test("into an empty database a backup brings grants and the password as well", async () => {
  const { store, file } = testStore();
  const folder = temporaryFolder();
  await save(store, "Grant", "kept", 100);
  await store.write((tables) => tables.operator.setPasswordHash("the hash", "2026-01-01T00:00:00.000Z"));
  await backUp(file, join(folder, "backup.db"));
  const other = openStore(join(folder, "other.db"), { create: true });
  restore(join(folder, "other.db"), join(folder, "backup.db"));
  expect(await find(other, "Grant", "kept")).toBeDefined();
  expect(await other.read((tables) => tables.operator.passwordHash())).toBe("the hash");
  await other.close();
});
