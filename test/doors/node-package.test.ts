import { createHash } from "node:crypto";
import { expect, test } from "vitest";
import { startServer } from "../support/server.ts";

test("anybody may fetch the node's package, and its checksum as sha256sum reads it", async () => {
  const { url } = await startServer();
  const file = await fetch(`${url}/node/m25-mail-node.deb`);
  expect(file.status).toBe(200);
  expect(file.headers.get("content-type")).toBe("application/vnd.debian.binary-package");
  const content = Buffer.from(await file.arrayBuffer());
  const sum = createHash("sha256").update(content).digest("hex");
  const checksum = await fetch(`${url}/node/m25-mail-node.deb.sha256`);
  expect(await checksum.text()).toBe(`${sum}  m25-mail-node.deb\n`);
});

test("the line for a new node checks the package that the server offers", async () => {
  const server = await startServer({ "public-url": "https://mail-admin.example.nl/m25" });
  const { body } = await server.api("add-node", { name: "pi" });
  const sum = await (await fetch(`${server.url}/node/m25-mail-node.deb.sha256`)).text();
  expect(body.next_step).toContain(`echo '${sum.trimEnd()}' | sha256sum -c`);
  expect(body.next_step).toContain(" https://mail-admin.example.nl/node/m25-mail-node.deb ");
});

test("an address that fetches the package too often has to wait", async () => {
  const { url } = await startServer({ "limit-requests": "10" });
  const statuses = new Set<number>();
  for (let n = 0; n < 12; n++) {
    const answer = await fetch(`${url}/node/m25-mail-node.deb`);
    await answer.arrayBuffer();
    statuses.add(answer.status);
  }
  expect([...statuses]).toEqual([200, 429]);
});
