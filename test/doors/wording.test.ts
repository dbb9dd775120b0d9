import { Tiktoken } from "js-tiktoken/lite";
import o200k from "js-tiktoken/ranks/o200k_base";
import { expect, test } from "vitest";
import type { SeenNode } from "../../db/nodes.ts";
import { usages } from "../../src/doors/cli/usage.ts";
import { atTheShell } from "../../src/doors/cli/wording.ts";
import { overRest } from "../../src/doors/http/wording.ts";
import { advertisedTools } from "../../src/doors/mcp/server.ts";
import { overMcp } from "../../src/doors/mcp/wording.ts";
import type { MailError } from "../../src/mail/error.ts";
import { plainly, type Text, worded } from "../../src/mail/text.ts";
import { reportReasons } from "../../src/sync/report.ts";
import { unconfirmed } from "../../tools/call/call.ts";
import { operator, type Principal } from "../../tools/call/principal.ts";
import { tools } from "../../tools/index.ts";
import { nodeStatuses } from "../../tools/nodes/condition.ts";
import { nodeHint, serverReasons } from "../../tools/nodes/hints.ts";
import { type NodeCounts, notLive } from "../../tools/nodes/liveness.ts";
import { PASSWORD, testStore, toolOf } from "../support/store.ts";

const jan = "jan@example.nl";
const piet = "piet@example.nl";
const password = PASSWORD;
const reader: Principal = { name: "r", door: "mcp", scopes: new Set(["read"]) };
const tenant: Principal = { ...operator("cli"), name: "t", door: "mcp", domains: new Set(["example.nl"]) };

/** One refusal of each kind, on a database with one of each thing. Piet's mailbox is inactive. */
const refused: ReadonlyArray<[endpoint: string, input: object, principal?: Principal]> = [
  ["add-domain", {}],
  ["add-domain", { domain: "bakery" }],
  ["add-domain", { domain: "bakery.nl." }],
  ["add-domain", { domain: "example.nl" }],
  ["add-domain", { domain: "gmail.com" }],
  ["add-domain", { domain: "other.nl" }, reader],
  ["add-domain", { domain: "other.nl" }, tenant],
  ["remove-domain", { domain: "example.nl" }],
  ["remove-domain", { domain: "other.nl" }],
  ["remove-domain", { domain: "other.nl" }, tenant],
  ["list-domains", { limit: 0 }],
  ["list-domains", { cursor: "nonsense" }],
  ["add-user", { email: jan }],
  ["add-user", { email: jan, password }],
  ["add-user", { email: "jan@other.nl", password }],
  ["add-user", { email: "o'brien@example.nl", password }],
  ["add-user", { email: "jörg@example.nl", password }],
  ["add-user", { email: "jan+shop@example.nl", password }],
  ["add-user", { email: "jan", password: "short" }],
  ["add-user", { email: "kees@example.nl", password: "password" }],
  ["add-user", { email: "kees@example.nl", password, quota_mb: 0, colour: 1 }],
  ["remove-user", { email: "kees@example.nl" }],
  ["remove-user", { email: "kees@other.nl" }],
  ["list-users", { search: "jan@a@b" }],
  ["update-password", { email: piet, password }],
  ["add-node", { name: "pi" }],
  ["add-node", { name: "Pi 1" }],
  ["add-node", { name: "pi2", ip_address: "999" }],
  ["list-nodes", {}, tenant],
  ["set-node", { name: "other", role: "mx" }],
  ["accept-removals", {}],
  ["purge-user", { email: jan }],
  ["restore-user", { email: jan }],
  ["create-token", { name: "claude" }],
  ["revoke-token", { name: "other" }],
  ["add-oauth-client", { name: "app", redirect_uris: ["https://example.nl/"] }],
  ["remove-oauth-client", { name: "other" }],
  ["revoke-oauth-grant", { id: "00000000" }],
];

async function refusals(): Promise<Array<[call: string, error: MailError]>> {
  const { must, run, runtime } = testStore();
  await must("add-domain", { domain: "example.nl" });
  for (const email of [jan, piet]) await must("add-user", { email, password });
  await must("remove-user", { email: piet });
  await must("add-node", { name: "pi" });
  await must("create-token", { name: "claude" });
  await must("add-oauth-client", { name: "app", redirect_uris: ["https://example.nl/"] });
  const found: Array<[string, MailError]> = [];
  for (const [endpoint, input, principal] of refused) {
    const outcome = await run(endpoint, input, principal);
    if (outcome.ok) throw new Error(`${endpoint} was done`);
    found.push([`${endpoint} ${JSON.stringify(input)}`, outcome.error]);
  }
  for (const answer of ["declined", "cancelled"] as const) {
    const input = { domain: "example.nl" };
    const asked = { principal: operator("cli"), tool: toolOf("remove-domain"), input };
    const error = await unconfirmed(runtime, asked, answer);
    found.push([`remove-domain, ${answer}`, error]);
  }
  return found;
}

const seen = {
  name: "pi",
  report: { count: 7 },
  refused: { at: "", address: "192.0.2.9" },
} as unknown as SeenNode;

/** Each hint of the lists of nodes, with the statuses and reasons that have it. */
function nodeHints(): Array<[situations: string, hint: Text]> {
  const found = new Map<string, [situations: string, hint: Text]>();
  const add = (situation: string, node: SeenNode, condition: Parameters<typeof nodeHint>[1]) => {
    const hint = nodeHint(node, condition);
    if (hint === null) return;
    const text = worded(hint, plainly);
    const [others] = found.get(text) ?? [];
    found.set(text, [others === undefined ? situation : `${others}, ${situation}`, hint]);
  };
  const none = { status: "current", reason: null, endedKeyUse: null };
  add("ended_key_used_at", seen, { ...none, endedKeyUse: seen.refused });
  for (const status of nodeStatuses) add(status, { ...seen, report: null }, { ...none, status });
  for (const reason of [...reportReasons, ...serverReasons]) {
    add(reason, seen, { ...none, status: "failing", reason });
  }
  return [...found.values()];
}

/** The note of a change that no node serves soon, for a caller who may add nodes and for one who may not. */
function notes(words: (said: Text) => string): string[] {
  const cases: ReadonlyArray<[situation: string, counts: NodeCounts]> = [
    ["no node", { added: 0, joined: 0 }],
    ["none has joined", { added: 2, joined: 0 }],
    ["none calls", { added: 2, joined: 1 }],
  ];
  return cases.flatMap(([situation, counts]) =>
    [operator("cli"), tenant].map(
      (principal) => `a change, ${situation}, ${principal.name}\n  ${words(notLive(counts, principal))}\n`,
    ),
  );
}

const doors: ReadonlyArray<[name: string, words: (said: Text) => string]> = [
  ["mcp", overMcp],
  ["rest", overRest],
  ["shell", (said) => atTheShell(said, { password: "password" })],
];

test.each(doors)("the tools' texts for %s are those of the golden file", async (name, words) => {
  const described = tools.map(({ endpoint, description }) => `${endpoint}\n  ${words(description)}\n`);
  const answers = (await refusals()).map(
    ([call, { code, detail, hint }]) => `${call}\n  ${code}: ${words(detail)}\n  ${words(hint)}\n`,
  );
  const hints = nodeHints().map(([situations, hint]) => `list-nodes: ${situations}\n  ${words(hint)}\n`);
  const text = [...described, ...notes(words), ...hints, ...answers].join("\n");
  await expect(text).toMatchFileSnapshot(`golden/${name}.txt`);
  for (const [, command = ""] of text.matchAll(/\bm25-mail ([a-z]+(?: [a-z-]+)*)/g)) {
    expect(
      usages.some(({ name }) => `${command} `.startsWith(`${name} `)),
      command,
    ).toBe(true);
  }
});

test("each door uses its own names for tools and fields, and no other door's", async () => {
  for (const [, { detail, hint }] of await refusals()) {
    for (const said of [detail, hint]) {
      expect(overRest(said)).not.toContain("m25_mail_");
      expect(atTheShell(said)).not.toMatch(/m25_mail_|\/api\//);
    }
  }
});

test("the tools cost a model at most 1,600 tokens", () => {
  const shown = advertisedTools(tools).map(({ name, description, inputSchema }) => ({
    name,
    description,
    inputSchema,
  }));
  expect(new Tiktoken(o200k).encode(JSON.stringify(shown)).length).toBeLessThanOrEqual(1600);
});
