import { once } from "node:events";
import { connect } from "node:net";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { seedDatabase } from "../../db/sqlite/seed.ts";
import { serverWithRoutes } from "../support/routes.ts";
import { fakeHash, PASSWORD, temporaryFolder, testRuntime } from "../support/store.ts";

test("a caller that requests a lot and reads nothing is disconnected", async () => {
  const db = join(temporaryFolder(), "m25-mail.db");
  const at = new Date().toISOString();
  await seedDatabase(db, { users: 100_000, domains: 10, passwordHash: fakeHash(PASSWORD), at });
  const server = await serverWithRoutes({ db }, { idleTimeout: 10_000 });
  const { sync_key } = await testRuntime(server.store).must("add-node", { name: "pi" });
  const socket = connect(Number(new URL(server.url).port), "127.0.0.1");
  onTestFinished(() => void socket.destroy());
  socket.write(`GET /sync/v1/maps HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer ${sync_key}\r\n\r\n`);
  await once(socket, "readable");
  expect(await server.connections()).toBe(1);
  await expect.poll(() => server.connections()).toBe(0);
});
