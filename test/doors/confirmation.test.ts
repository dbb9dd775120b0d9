import { join } from "node:path";
import { describe, expect, onTestFinished, test, vi } from "vitest";
import { openStore } from "../../db/sqlite/store.ts";
import type { Store } from "../../db/store.ts";
import {
  type Answer,
  type ClientKind,
  callTool,
  clientKinds,
  connectHttp,
  connectStdio,
  type McpClient,
} from "../support/clients.ts";
import { onPostgresql } from "../support/engine.ts";
import { postCall, type Recipient } from "../support/mcp.ts";
import { startServer, type TestServer } from "../support/server.ts";
import { PASSWORD, temporaryFolder, testRuntime } from "../support/store.ts";

const jan = { email: "jan@example.nl" };
const hardDelete = { ...jan, hard_delete: true };
const yes: Answer = () => ({ action: "accept", content: { confirm: true } });

/** Jan, and a domain with one soft-deleted mailbox, on two nodes; one serves it. A third never polled. */
async function populate(store: Store): Promise<void> {
  const { must } = testRuntime(store);
  for (const domain of ["example.nl", "old.nl"]) await must("add-domain", { domain });
  for (const email of ["jan@example.nl", "gone@old.nl"])
    await must("add-user", { email, password: PASSWORD });
  await must("remove-user", { email: "gone@old.nl" });
  for (const name of ["one", "two"]) await must("add-node", { name });
  await must("set-node", { name: "two", domains: ["example.nl"] });
  const nodes = await store.read((tables) => tables.nodes.all());
  const at = new Date().toISOString();
  await store.recordContacts({
    nodes: new Map(nodes.map(({ id }) => [id, "192.0.2.9"])),
    tokens: new Set(),
    at,
  });
  await must("add-node", { name: "never" });
}

async function populatedServer(): Promise<TestServer> {
  const server = await startServer();
  await populate(server.store);
  return server;
}

interface Opened {
  client: McpClient;
  emails(): Promise<string[]>;
}

/** Connects a client by each door. Its person answers as given. */
const waysIn = {
  HTTP: async (kind: ClientKind, answer?: Answer): Promise<Opened> => {
    const server = await populatedServer();
    const client = await connectHttp(kind, server.url, server.token, answer);
    return { client, emails: () => emailsOf(client) };
  },
  stdio: async (kind: ClientKind, answer?: Answer): Promise<Opened> => {
    const database = join(temporaryFolder(), "m25-mail.db");
    const store = openStore(database, { create: true });
    await populate(store);
    await store.close();
    const client = await connectStdio(kind, database, [], {}, answer);
    return { client, emails: () => emailsOf(client) };
  },
};

async function emailsOf(client: McpClient): Promise<string[]> {
  const { structuredContent } = await callTool(client, "list-users");
  const users = (structuredContent?.users ?? []) as Array<{ email: string }>;
  return users.map(({ email }) => email);
}

/** The clients that can ask a person: 2026-07-28 by any door, earlier revisions over stdio only. */
const clientsThatAsk: ReadonlyArray<[way: keyof typeof waysIn, kind: ClientKind]> = [
  ["HTTP", "2.x 2026-07-28"],
  ["stdio", "2.x 2026-07-28"],
  ["stdio", "2.x legacy"],
  ["stdio", "1.x"],
];

/** Over stdio these tests have a file in any case. */
const isTested = ([way]: readonly [keyof typeof waysIn, ClientKind]) => way === "HTTP" || !onPostgresql;

describe.each(clientsThatAsk.filter(isTested))("over %s a %s client", (way, kind) => {
  test("shows its person what will be lost, and removes it after they confirm", async () => {
    const asked: string[] = [];
    const { client, emails } = await waysIn[way](kind, (question) => {
      asked.push(question);
      return yes(question);
    });
    expect((await callTool(client, "remove-user", hardDelete)).structuredContent).toMatchObject({
      deleted: "hard",
    });
    expect((await callTool(client, "remove-domain", { domain: "old.nl" })).structuredContent).toMatchObject({
      removed_inactive_users: 1,
    });
    expect(asked).toEqual([
      expect.stringMatching(/^Remove the active mailbox jan@example\.nl for good\?.* 2 nodes/),
      expect.stringMatching(/^Remove the domain old\.nl for good\?.*its inactive mailbox is lost.* 1 node /),
    ]);
    expect(await emails()).toEqual([]);
  });

  test.each<[string, ReturnType<Answer>, RegExp]>([
    ["declines", { action: "decline" }, /^declined: .*Nothing was changed/],
    ["closes the form", { action: "cancel" }, /^cancelled: .*Nothing was changed/],
    [
      "sends it back unconfirmed",
      { action: "accept", content: { confirm: false } },
      /^declined: .*Nothing was changed/,
    ],
  ])("changes nothing, and says why, if its person %s", async (_what, answer, said) => {
    const { client, emails } = await waysIn[way](kind, () => answer);
    const refused = await callTool(client, "remove-user", hardDelete);
    expect(refused).toMatchObject({
      isError: true,
      content: [{ text: expect.stringMatching(said) }],
    });
    expect(await emails()).toEqual(["jan@example.nl", "gone@old.nl"]);
  });

  test("asks no question before a change that can be undone or will be refused", async () => {
    const asked: string[] = [];
    const { client } = await waysIn[way](kind, (question) => {
      asked.push(question);
      return yes(question);
    });
    expect((await callTool(client, "remove-domain", { domain: "example.nl" })).content[0]?.text).toMatch(
      /^domain_has_active_users/,
    );
    expect((await callTool(client, "remove-user", jan)).structuredContent).toMatchObject({ deleted: "soft" });
    expect((await callTool(client, "remove-domain", { domain: "x.nl" })).isError).toBe(true);
    expect(asked).toEqual([]);
  });
});

const allClients = (["HTTP", "stdio"] as const).flatMap((way) =>
  clientKinds.map((kind) => [way, kind] as const),
);

test.each(allClients.filter(isTested))(
  "over %s a %s client that cannot ask makes the call without a question",
  async (way, kind) => {
    const { client, emails } = await waysIn[way](kind);
    expect((await callTool(client, "remove-user", hardDelete)).structuredContent).toMatchObject({
      deleted: "hard",
    });
    expect(await emails()).toEqual(["gone@old.nl"]);
  },
);

test.each(["2.x legacy", "1.x"] as const)(
  "over HTTP a %s client, which the server cannot ask, makes the call without a question",
  async (kind) => {
    const { client, emails } = await waysIn.HTTP(kind, () => {
      throw new Error("nobody should be asked");
    });
    expect((await callTool(client, "remove-user", hardDelete)).isError).not.toBe(true);
    expect(await emails()).toEqual(["gone@old.nl"]);
  },
);

interface Result {
  resultType: string;
  requestState?: string;
  inputRequests?: { confirm: { params: { message: string } } };
  isError?: boolean;
  content?: Array<{ text: string }>;
}

/** Sends a raw call of revision 2026-07-28. */
async function send(recipient: Recipient, name: string, input: object, more: object = {}): Promise<Result> {
  const client = { name: "wire", capabilities: { elicitation: { form: {} } } };
  const { body } = await postCall(recipient, { name, arguments: input, ...more }, client);
  return (JSON.parse(body) as { result: Result }).result;
}

const accepted = { confirm: { action: "accept", content: { confirm: true } } };
const REMOVE = "m25_mail_remove_user";

async function withQuestion() {
  const server = await populatedServer();
  const { must } = testRuntime(server.store);
  const question = await send(server, REMOVE, hardDelete);
  expect(question.resultType).toBe("input_required");
  const confirmation = { requestState: question.requestState, inputResponses: accepted };
  return { server, must, confirmation };
}

test("a confirmation works once, and a repeat for a new mailbox of that address asks again", async () => {
  const { server, must, confirmation } = await withQuestion();
  expect((await send(server, REMOVE, hardDelete, confirmation)).isError).toBeUndefined();
  expect((await send(server, REMOVE, hardDelete, confirmation)).content?.[0]?.text).toMatch(
    /^user_not_found/,
  );
  await must("add-user", { ...jan, password: PASSWORD });
  expect((await send(server, REMOVE, hardDelete, confirmation)).resultType).toBe("input_required");
  expect(await must("list-users", { domain: "example.nl" })).toMatchObject({ total: 1 });
});

test("a confirmation may come to another server on the same database than asked for it", async () => {
  const db = join(temporaryFolder(), "m25-mail.db");
  const [asking, other] = [await startServer({ db }), await startServer({ db })];
  await populate(asking.store);
  const { requestState } = await send(asking, REMOVE, hardDelete);
  const confirmed = await send(other, REMOVE, hardDelete, { requestState, inputResponses: accepted });
  expect(confirmed).toMatchObject({ resultType: "complete" });
  expect(await testRuntime(asking.store).must("list-users", { domain: "example.nl" })).toMatchObject({
    total: 0,
  });
});

test("a confirmation is valid for its principal, its tool and its input only", async () => {
  const { server, must, confirmation } = await withQuestion();
  await must("add-user", { email: "piet@example.nl", password: PASSWORD });
  const other = { url: server.url, token: String((await must("create-token", { name: "other" })).token) };
  const piet = { email: "piet@example.nl", hard_delete: true };
  expect((await send(other, REMOVE, hardDelete, confirmation)).resultType).toBe("input_required");
  expect((await send(server, REMOVE, piet, confirmation)).resultType).toBe("input_required");
  const domain = await send(server, "m25_mail_remove_domain", { domain: "old.nl" }, confirmation);
  expect(domain.resultType).toBe("input_required");
  expect(await must("list-users")).toMatchObject({ total: 3 });
  expect(
    (await send(server, REMOVE, { ...hardDelete, email: "JAN@example.nl" }, confirmation)).isError,
  ).toBeUndefined();
  expect(await must("list-users")).toMatchObject({ total: 2 });
});

test("if something else would be lost by now, the person is asked again", async () => {
  const server = await populatedServer();
  const { must } = testRuntime(server.store);
  const remove = (more?: object) => send(server, "m25_mail_remove_domain", { domain: "old.nl" }, more);
  const { requestState } = await remove();
  await must("add-user", { email: "later@old.nl", password: PASSWORD });
  await must("remove-user", { email: "later@old.nl" });
  const again = await remove({ requestState, inputResponses: accepted });
  expect(again.inputRequests?.confirm.params.message).toContain("its 2 inactive mailboxes are lost");
  expect(
    (await remove({ requestState: again.requestState, inputResponses: accepted })).isError,
  ).toBeUndefined();
  expect(await must("list-domains")).toMatchObject({ total: 1 });
});

test("a question expires after ten minutes", async () => {
  const { server, must, confirmation } = await withQuestion();
  vi.useFakeTimers({ toFake: ["Date"], now: Date.now() + 601_000 });
  onTestFinished(() => void vi.useRealTimers());
  expect((await send(server, REMOVE, hardDelete, confirmation)).resultType).toBe("input_required");
  expect(await must("list-users")).toMatchObject({ total: 2 });
  vi.setSystemTime(Date.now() - 11_000);
  expect((await send(server, REMOVE, hardDelete, confirmation)).isError).toBeUndefined();
  expect(await must("list-users")).toMatchObject({ total: 1 });
});

test("a yes without a question, or to a forged one, is refused", async () => {
  const { server, must, confirmation } = await withQuestion();
  const { requestState = "" } = confirmation;
  const [version, body, mac] = requestState.split(".");
  const later = Buffer.from(
    Buffer.from(body ?? "", "base64url")
      .toString()
      .replace(/"exp":\d+/, '"exp":99999999999'),
  ).toString("base64url");
  for (const forged of [
    undefined,
    "",
    "x",
    `${version}.${later}.${mac}`,
    `${version}.${body}.`,
    `${requestState}A`,
  ]) {
    const answer = await send(server, REMOVE, hardDelete, { inputResponses: accepted, requestState: forged });
    expect(answer.resultType, forged).toBe("input_required");
  }
  expect(await must("list-users")).toMatchObject({ total: 2 });
});

test("a token for one domain is asked about that domain only, and learns nothing about others", async () => {
  const { server, must } = await withQuestion();
  const made = await must("create-token", { name: "old", domains: ["old.nl"] });
  const limited = { url: server.url, token: String(made.token) };
  expect((await send(limited, REMOVE, hardDelete)).content?.[0]?.text).toMatch(/^user_not_found/);
  expect((await send(limited, "m25_mail_remove_domain", { domain: "old.nl" })).resultType).toBe(
    "input_required",
  );
});

test.skipIf(onPostgresql).each([["2.x legacy"], ["1.x"]] as const)(
  "a client (%s) that answers a question with an error is told that nobody answered",
  async (kind) => {
    const { client, emails } = await waysIn.stdio(kind, () => {
      throw new Error("nobody is here");
    });
    expect(await callTool(client, "remove-user", hardDelete)).toMatchObject({
      isError: true,
      content: [{ text: expect.stringMatching(/^cancelled: .*without an answer/) }],
    });
    expect(await emails()).toEqual(["jan@example.nl", "gone@old.nl"]);
  },
);

test.each([
  ["a text", { action: "accept", content: { confirm: "true" } }],
  ["nothing", { action: "accept" }],
  ["null", { action: "accept", content: null }],
  ["a list", { action: "accept", content: [true] }],
])("a confirmation with %s is not accepted", async (_what, answer) => {
  const { server, confirmation } = await withQuestion();
  const given = { ...confirmation, inputResponses: { confirm: answer } };
  const refused = await send(server, REMOVE, hardDelete, given);
  expect(JSON.stringify(refused)).toMatch(/declined: |Invalid|not right/);
  expect((await server.api("list-users?search=jan")).body.total).toBe(1);
});

test.each([
  ["a person's no", "decline", "declined"],
  ["a question that a host closed by itself", "cancel", "cancelled"],
])("%s is recorded as such", async (_what, action, outcome) => {
  const { server, must, confirmation } = await withQuestion();
  const no = { ...confirmation, inputResponses: { confirm: { action } } };
  expect((await send(server, REMOVE, hardDelete, no)).isError).toBe(true);
  const { entries } = (await must("read-audit")) as { entries: Array<Record<string, unknown>> };
  expect(entries.at(-1)).toMatchObject({
    tool: "remove-user",
    principal: "first",
    client: "wire",
    outcome,
    arguments: hardDelete,
  });
});

test("the state that a client keeps does not let it guess the revision", async () => {
  const kept = await Promise.all(
    [await populatedServer(), await populatedServer()].map(async (server) => {
      const { requestState = "" } = await send(server, "m25_mail_remove_domain", { domain: "old.nl" });
      const { p } = JSON.parse(Buffer.from(requestState.split(".")[1] ?? "", "base64url").toString());
      return p as unknown;
    }),
  );
  expect(kept[0]).toEqual(expect.any(String));
  expect(kept[0]).not.toBe(kept[1]);
});
