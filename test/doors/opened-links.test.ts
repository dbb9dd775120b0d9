import { expect, test } from "vitest";
import { type ClientKind, callTool, clientKinds, connectHttp, connectStdio } from "../support/clients.ts";
import { http } from "../support/http.ts";
import { startServer } from "../support/server.ts";
import { testRuntime } from "../support/store.ts";

const jan = { email: "jan@example.nl" };
const URL_MODE = { elicitation: { url: {} } };

async function withDomain() {
  const server = await startServer({ tools: "people", "public-url": "http://localhost" });
  await testRuntime(server.store).must("add-domain", { domain: "example.nl" });
  const opened: string[] = [];
  const opening = (action: "accept" | "decline") => ({
    capabilities: URL_MODE,
    answer: ({ url }: { url?: string | undefined }) => {
      opened.push(String(url));
      return { action };
    },
  });
  return { server, opened, opening };
}

type Opening = Awaited<ReturnType<typeof withDomain>>["opening"];

const environment = { M25_MAIL_TOOLS: "people", M25_MAIL_PUBLIC_URL: "http://localhost" };

/** The ways in over which a client can be asked to open an address. */
const ways: ReadonlyArray<[name: string, kind: ClientKind]> = [
  ["HTTP", "2.x 2026-07-28"],
  ["stdio", "2.x 2026-07-28"],
  ["stdio", "2.x legacy"],
  ["stdio", "1.x"],
];

async function invite(way: string, kind: ClientKind, action: "accept" | "decline") {
  const { server, opened, opening } = await withDomain();
  const person: ReturnType<Opening> = opening(action);
  const client =
    way === "HTTP"
      ? await connectHttp(kind, server.url, server.token, person)
      : await connectStdio(kind, server.database, [], environment, person);
  const answer = await callTool(client, "invite-user", jan);
  return { server, opened, result: answer.structuredContent ?? {}, text: answer.content[0]?.text ?? "" };
}

test.each(ways)("over %s a %s client opens the link, and the model does not see it", async (way, kind) => {
  const { server, opened, result, text } = await invite(way, kind, "accept");
  expect(result).toMatchObject({ ...jan, active: true, expires_at: expect.any(String) });
  expect(text).not.toContain("m25pwl_");
  expect(opened).toEqual([expect.stringMatching(/^http:\/\/localhost\/password\/m25pwl_/)]);
  const { pathname } = new URL(opened[0] ?? "");
  expect((await http(server.url + pathname)).status).toBe(200);
});

test.each(ways)(
  "over %s a %s client that does not open the link leaves it in the result",
  async (way, kind) => {
    const { opened, result } = await invite(way, kind, "decline");
    expect(result.url).toBe(opened[0]);
  },
);

test.each(clientKinds)("a %s client that cannot open addresses gets the link in the result", async (kind) => {
  const { server } = await withDomain();
  const client = await connectHttp(kind, server.url, server.token, () => ({ action: "accept" }));
  const { structuredContent } = await callTool(client, "invite-user", jan);
  expect(structuredContent?.url).toMatch(/^http:\/\/localhost\/password\/m25pwl_/);
});
