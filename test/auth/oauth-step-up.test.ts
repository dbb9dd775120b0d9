/** Answers to a call that lacks a scope: the client may ask the operator for it, if that can help. */
import { expect, test } from "vitest";
import { callTool, connectHttp } from "../support/clients.ts";
import { postMcp, rpc } from "../support/mcp.ts";
import {
  Browser,
  choose,
  claudeFlow,
  goBack,
  type OAuthServer,
  signIn,
  startOAuthServer,
  tokensFor,
} from "../support/oauth.ts";
import { beginSignIn } from "../support/oauth-client.ts";

async function callRaw({ url }: OAuthServer, token: string, name: string, input: unknown) {
  const answer = await postMcp({ url, token }, rpc("tools/call", { name, arguments: input }));
  return { ...answer, challenge: answer.headers["www-authenticate"] };
}

test("a call beyond a token's scopes is a 403 that names the scope to ask for, and is recorded", async () => {
  const server = await startOAuthServer();
  const { access_token } = await tokensFor(server);
  const call = (name: string, input: unknown) => callRaw(server, access_token, name, input);
  const refused = await call("m25_mail_remove_domain", { domain: "example.nl" });
  expect(refused.status).toBe(403);
  expect(refused.challenge).toBe(
    `Bearer error="insufficient_scope", error_description="This needs the scope destroy, which the operator has not allowed.", scope="read write destroy", resource_metadata="${server.url}/.well-known/oauth-protected-resource/mcp"`,
  );
  expect((await server.must("list-domains")).total).toBe(2);
  const { entries } = (await server.must("read-audit")) as { entries: Array<Record<string, unknown>> };
  expect(JSON.stringify(entries)).toContain("remove-domain");
  // A soft delete needs write, a hard one destroy: the scope depends on the input.
  expect((await call("m25_mail_remove_user", { email: "x@example.nl" })).status).toBe(200);
  expect((await call("m25_mail_remove_user", { email: "x@example.nl", hard_delete: true })).status).toBe(403);
  const fromGemini = { email: "x@example.nl", hard_delete: true, wait_for_previous: true };
  expect((await call("m25_mail_remove_user", fromGemini)).status).toBe(403);
  expect((await call("m25_mail_remove_domain", {})).status).toBe(200); // wrong input: call() explains
});

test("a client with some domains is never sent to sign in for nodes, because no consent can add them", async () => {
  const server = await startOAuthServer();
  const limited = await tokensFor(server, claudeFlow, { domains: ["example.nl"] });
  for (const [name, input] of [
    ["m25_mail_list_nodes", {}],
    ["m25_mail_add_node", { name: "pi" }],
  ] as const) {
    const refused = await callRaw(server, limited.access_token, name, input);
    expect([refused.status, refused.challenge]).toEqual([200, undefined]);
    expect(JSON.parse(refused.body).result).toMatchObject({
      isError: true,
      content: [{ text: expect.stringMatching(/^forbidden: .* some domains only/) }],
    });
  }
  const destroys = await callRaw(server, limited.access_token, "m25_mail_remove_domain", {
    domain: "example.nl",
  });
  expect([destroys.status, destroys.challenge]).toEqual([
    403,
    expect.stringContaining('scope="read write destroy"'),
  ]);
  const { access_token } = await tokensFor(server);
  const nodes = await callRaw(server, access_token, "m25_mail_list_nodes", {});
  expect([nodes.status, nodes.challenge]).toEqual([403, expect.stringContaining('scope="read write nodes"')]);
});

test("the SDK's client, refused for a scope, asks the operator for that scope besides its own", async () => {
  const server = await startOAuthServer();
  const signingIn = await beginSignIn(server.url);
  const browser = new Browser(server.url);
  const page = await browser.get(signingIn.authorizationUrl().href);
  const consent = await signIn({ browser, page, verifier: "" });
  await fetch(await goBack(browser, await choose(browser, consent)));
  const client = await signingIn.finish();
  expect(signingIn.authorizationUrl().searchParams.get("scope")).toBe("read write");
  await expect(callTool(client, "remove-domain", { domain: "example.nl" })).rejects.toThrow();
  expect(signingIn.authorizationUrl().searchParams.get("scope")).toBe("read write destroy");
  expect((await server.must("list-domains")).total).toBe(2);
});

test("a token from the command line is refused in words, because it cannot ask for more", async () => {
  const server = await startOAuthServer();
  const { token } = await server.must("create-token", { name: "reader", scopes: ["read"] });
  const client = await connectHttp("2.x legacy", server.url, String(token));
  const answer = await callTool(client, "remove-domain", { domain: "example.nl" });
  expect(answer.isError).toBe(true);
  expect(answer.content[0]?.text).toContain('lacks the scope "destroy"');
});
