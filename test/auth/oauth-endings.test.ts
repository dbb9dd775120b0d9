import { expect, onTestFinished, test, vi } from "vitest";
import {
  authorize,
  begin,
  CLAUDE_CODE,
  choose,
  claudeFlow,
  goBack,
  mcpStatus,
  type OAuthServer,
  refresh,
  signIn,
  startOAuthServer,
  tokenRequest,
  tokensFor,
} from "../support/oauth.ts";
import { m25mail } from "../support/program.ts";
import { rawDatabase } from "../support/recount.ts";

/** Runs `meanwhile` right after the server's next write, before the request continues. */
function afterNextWrite(server: OAuthServer, meanwhile: () => Promise<unknown>): void {
  const write = server.store.write;
  server.store.write = async (fn, within) => {
    server.store.write = write;
    const result = await write(fn, within);
    await meanwhile();
    return result;
  };
}

async function revokeOnly(server: OAuthServer): Promise<void> {
  const [{ id }] = (await server.must("list-oauth-grants")).grants as [{ id: string }];
  await server.must("revoke-oauth-grant", { id });
}

const MINUTE = 60_000;
const DAY = 86_400_000;

/** Stops the clock of the server and of the library. Returns a function that moves it on. */
function stopClock(): (ms: number) => void {
  vi.useFakeTimers({ toFake: ["Date"] });
  onTestFinished(() => void vi.useRealTimers());
  return (ms) => void vi.setSystemTime(Date.now() + ms);
}

test("a code expires after a minute", async () => {
  const later = stopClock();
  const server = await startOAuthServer();
  const [one, another] = [await authorize(server), await authorize(server)];
  later(MINUTE - 1_000);
  expect((await tokenRequest(server, one.exchange)).status).toBe(200);
  later(2_000);
  expect((await tokenRequest(server, another.exchange)).body.error).toBe("invalid_grant");
});

test("a refresh token expires after thirty days, and a grant after a year, however often it was refreshed", async () => {
  const later = stopClock();
  const server = await startOAuthServer();
  const unused = await tokensFor(server);
  let { refresh_token } = await tokensFor(server);
  for (let days = 29; days < 365; days += 29) {
    later(29 * DAY);
    const { status, body } = await refresh(server, refresh_token);
    expect(status, `${days} days`).toBe(200);
    refresh_token = body.refresh_token;
    if (days === 58) expect((await refresh(server, unused.refresh_token)).body.error).toBe("invalid_grant");
  }
  later(29 * DAY);
  expect((await refresh(server, refresh_token)).body.error).toBe("invalid_grant");
});

test("a sign-in page expires ten minutes after it was opened", async () => {
  const later = stopClock();
  const server = await startOAuthServer();
  const [one, another] = [await begin(server, claudeFlow), await begin(server, claudeFlow)];
  later(10 * MINUTE - 1_000);
  expect((await signIn(one)).body).toContain("For which domains");
  later(2_000);
  const answer = await signIn(another);
  expect(answer.status).toBe(400);
  expect(answer.body).toContain("This request has ended");
});

const NEW_PASSWORD = "another password entirely";

test("a grant that is revoked during a refresh gives no further token", async () => {
  const server = await startOAuthServer();
  const { refresh_token } = await tokensFor(server);
  afterNextWrite(server, () => revokeOnly(server)); // this write marks the refresh token as used
  const { status, body } = await refresh(server, refresh_token);
  expect([status, body.error]).toEqual([400, "invalid_grant"]);
  expect((await server.must("list-oauth-grants")).grants).toEqual([]);
});

test("a refresh token that is used twice appears once in the audit log, and in the log", async () => {
  const server = await startOAuthServer();
  const { refresh_token } = await tokensFor(server);
  const [{ id }] = (await server.must("list-oauth-grants")).grants as [{ id: string }];
  const { body } = await refresh(server, refresh_token);
  expect((await refresh(server, refresh_token)).body.error).toBe("invalid_grant");
  const ended = async () => {
    const { entries } = await server.must("read-audit");
    return (entries as Array<{ tool: string }>).filter(({ tool }) => tool === "end-grant");
  };
  expect(await ended()).toMatchObject([
    {
      principal: `oauth:Claude/${id}`,
      door: "oauth",
      address: "127.0.0.1",
      request: expect.stringMatching(/^[0-9a-f]{8}-/),
      arguments: { grant: id, client: "Claude", reason: "a refresh token was used twice" },
    },
  ]);
  const told = server.log.filter((line) => line.includes("a refresh token was used twice"));
  expect(told).toEqual([expect.stringContaining(`{"grant":"${id}","client":"Claude"}`)]);
  expect(JSON.stringify([await ended(), server.log])).not.toContain(refresh_token);
  expect((await refresh(server, body.refresh_token)).status).toBe(400); // its grant has ended: no second entry
  expect(await ended()).toHaveLength(1);
});

test("a client that revokes its own token ends its grant, and this is not logged as reuse", async () => {
  const server = await startOAuthServer();
  const { refresh_token } = await tokensFor(server);
  const form = new URLSearchParams({ token: refresh_token, client_id: claudeFlow.clientId });
  expect((await fetch(`${server.url}/revoke`, { method: "POST", body: form })).status).toBe(200);
  expect((await server.must("list-oauth-grants")).grants).toEqual([]);
  expect(JSON.stringify([(await server.must("read-audit")).entries, server.log])).not.toContain("used twice");
});

test("a client cannot end another client's grant, even with its token", async () => {
  const server = await startOAuthServer();
  const { access_token, refresh_token } = await tokensFor(server);
  for (const token of [access_token, refresh_token]) {
    const body = new URLSearchParams({ token, client_id: CLAUDE_CODE });
    expect((await fetch(`${server.url}/revoke`, { method: "POST", body })).status).toBeLessThan(500);
  }
  expect(await mcpStatus(server, access_token)).toBe(200);
  expect((await refresh(server, refresh_token)).status).toBe(200);
});

test("after a refresh token was used twice, the tokens of its first use are void too", async () => {
  const server = await startOAuthServer();
  const { refresh_token } = await tokensFor(server);
  let second: Awaited<ReturnType<typeof refresh>> | undefined;
  afterNextWrite(server, async () => {
    second = await refresh(server, refresh_token);
  });
  const first = await refresh(server, refresh_token);
  for (const answer of [first, second]) {
    expect([answer?.status, answer?.body.error]).toEqual([400, "invalid_grant"]);
  }
});

test("after a code was used twice, the tokens of its first use are void too", async () => {
  const server = await startOAuthServer();
  const { exchange } = await authorize(server);
  afterNextWrite(server, () => tokenRequest(server, exchange));
  const { status, body } = await tokenRequest(server, exchange);
  expect([status, body.error]).toEqual([400, "invalid_grant"]);
});

test("an access token is void once its grant has ended, even before it expires", async () => {
  const server = await startOAuthServer();
  const { access_token } = await tokensFor(server);
  expect(await mcpStatus(server, access_token)).toBe(200);
  const [grant] = await server.store.read((tables) => tables.grants.all(new Date().toISOString()));
  const database = rawDatabase(server.database);
  expect(database.prepare("DELETE FROM oauth WHERE kind = 'Grant' AND id = ?").run(grant?.key).changes).toBe(
    1,
  );
  database.close();
  expect(await mcpStatus(server, access_token)).toBe(401);
});

test("a page that was signed in with a former password allows nothing more", async () => {
  const server = await startOAuthServer();
  await tokensFor(server);
  const begun = await begin(server, claudeFlow);
  const consent = await signIn(begun);
  const changed = await m25mail(["operator", "set-password", "--db", server.database], {
    input: `${NEW_PASSWORD}\n`,
  });
  expect(changed.stdout).toMatch(/grants: 1\n.*m25-mail oauth grants list, oauth grants revoke ID\n$/);
  const answer = await choose(begun.browser, consent);
  expect(answer.status).toBe(400);
  expect(answer.body).toContain("This request has ended");
  expect((await server.must("list-oauth-grants")).grants).toHaveLength(1);
  const again = await begin(server, claudeFlow);
  expect((await signIn(again)).status).toBe(403);
  expect((await signIn(again, NEW_PASSWORD)).status).toBe(200);
});

test("a password change while a page is being allowed ends that request too", async () => {
  const server = await startOAuthServer();
  const begun = await begin(server, claudeFlow);
  const consent = await signIn(begun);
  const change = () => server.must("set-operator-password", { password: NEW_PASSWORD });
  afterNextWrite(server, change); // this write records the consent
  const answer = await choose(begun.browser, consent);
  expect(answer.status).toBe(400);
  expect((await goBack(begun.browser, answer)).searchParams.get("code")).toBeNull();
  expect((await server.must("list-oauth-grants")).grants).toEqual([]);
});

test("one address begins thirty requests a minute, and they close no page that the operator has open", async () => {
  const server = await startOAuthServer({ "trusted-proxies": "127.0.0.1" });
  const mine = await begin(server, claudeFlow);
  const query = new URLSearchParams({
    client_id: claudeFlow.clientId,
    redirect_uri: claudeFlow.redirectUri,
    response_type: "code",
    scope: "read",
    code_challenge: "a".repeat(43),
    code_challenge_method: "S256",
  });
  const ask = () =>
    fetch(`${server.url}/authorize?${query}`, {
      redirect: "manual",
      headers: { "x-forwarded-for": "198.51.100.7" },
    });
  let begun = 0;
  const since = performance.now();
  let answer = await ask();
  for (; answer.status === 303; answer = await ask()) begun += 1;
  expect(answer.status).toBe(429);
  expect(Number(answer.headers.get("retry-after"))).toBeGreaterThan(0);
  expect(begun).toBeGreaterThanOrEqual(30);
  const minutes = (performance.now() - since) / 60_000;
  expect(begun).toBeLessThanOrEqual(30 * (1 + minutes) + 1);
  const database = rawDatabase(server.database);
  const waiting = database.prepare(
    "SELECT subscriber, count(*) FROM oauth WHERE subscriber IS NOT NULL GROUP BY 1",
  );
  expect(waiting.raw().all()).toEqual([
    ["127.0.0.1", 1],
    ["198.51.100.7", begun],
  ]);
  expect((await signIn(mine)).status).toBe(200);
  expect(waiting.raw().all()).toHaveLength(1); // a signed-in request is never pushed out
  database.close();
});
