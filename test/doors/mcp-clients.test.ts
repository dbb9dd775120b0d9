import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { callTool, clientKinds, connectHttp, connectStdio } from "../support/clients.ts";
import { startServer } from "../support/server.ts";
import { temporaryFolder } from "../support/store.ts";

/** Opens a client by each door, and checks the log at the end. */
const waysIn = {
  "over HTTP": async (kind: (typeof clientKinds)[number]) => {
    const server = await startServer();
    return {
      client: await connectHttp(kind, server.url, server.token),
      log: () => server.log.slice(2).filter((line) => !/^(request|call) /.test(line)),
    };
  },
  "over stdio": async (kind: (typeof clientKinds)[number]) => {
    const log: string[] = [];
    return { client: await connectStdio(kind, join(temporaryFolder(), "m25-mail.db"), log), log: () => log };
  },
};

describe.each(Object.entries(waysIn))("%s", (_way, open) => {
  test.each(clientKinds)("a %s client administers mail", async (kind) => {
    const { client, log } = await open(kind);
    expect(client.getServerVersion()).toMatchObject({ name: "m25-mail", title: "M25 Mail" });
    expect(client.getInstructions()).toContain("m25_mail_add_user");

    const { tools } = await client.listTools();
    expect(tools).toHaveLength(9);
    for (const { annotations, outputSchema, inputSchema } of tools) {
      expect(annotations).toEqual({
        readOnlyHint: expect.any(Boolean),
        destructiveHint: expect.any(Boolean),
        idempotentHint: expect.any(Boolean),
        openWorldHint: false,
      });
      expect(outputSchema).toMatchObject({ type: "object" });
      expect(inputSchema).toMatchObject({ type: "object" });
    }

    const added = await callTool(client, "add-domain", { domain: "example.nl" });
    expect(added.structuredContent).toMatchObject({ domain: "example.nl", revision: 1 });
    expect(JSON.parse(added.content[0]?.text ?? "")).toEqual(added.structuredContent);
    const user = { email: "jan@example.nl", password: "correct horse" };
    expect((await callTool(client, "add-user", user)).structuredContent).toMatchObject({ active: true });

    const refused = await callTool(client, "add-user", user);
    expect(refused.isError).toBe(true);
    expect(refused.content).toEqual([
      {
        type: "text",
        text: expect.stringMatching(/^user_exists: .*m25_mail_update_password/),
      },
    ]);
    expect((await callTool(client, "list-users")).structuredContent).toMatchObject({ total: 1 });

    await expect(client.callTool({ name: "m25_mail_drop_everything", arguments: {} })).rejects.toMatchObject({
      code: -32602,
      message: expect.stringContaining("m25_mail_add_domain"),
    });
    expect(log().join("")).toMatch(/^(\S+ info made a new database \S+\n)?$/);
  });
});

test("two clients at once see each other's changes but not each other's answers", async () => {
  const server = await startServer();
  const clients = await Promise.all(clientKinds.map((kind) => connectHttp(kind, server.url, server.token)));
  const domains = Array.from({ length: 30 }, (_, index) => `d${index}.nl`);
  const added = await Promise.all(
    domains.map((domain, index) =>
      callTool(clients[index % clients.length] as never, "add-domain", { domain }),
    ),
  );
  expect(added.map(({ structuredContent }) => structuredContent?.domain)).toEqual(domains);
  for (const client of clients) {
    expect((await callTool(client, "list-domains")).structuredContent).toMatchObject({ total: 30 });
  }
});
