import { Tiktoken } from "js-tiktoken/lite";
import o200k from "js-tiktoken/ranks/o200k_base";
import { expect, test } from "vitest";
import type { SeenNode } from "../../db/nodes/nodes.ts";
import { usages } from "../../src/doors/cli/usage.ts";
import { atTheShell } from "../../src/doors/cli/wording.ts";
import { overRest } from "../../src/doors/http/wording.ts";
import { advertisedTools } from "../../src/doors/mcp/server.ts";
import { overMcp } from "../../src/doors/mcp/wording.ts";
import type { MailError } from "../../src/mail/error.ts";
import { plainly, type Text, worded } from "../../src/mail/text.ts";
import { reportReasons } from "../../src/sync/report.ts";
import { operator } from "../../tools/call/principal.ts";
import { tools } from "../../tools/index.ts";
import { nodeStatuses } from "../../tools/nodes/condition.ts";
import { nodeHint, serverReasons } from "../../tools/nodes/hints.ts";
import { installStep, renewalStep } from "../../tools/nodes/join-step.ts";
import { type NodeCounts, notLive } from "../../tools/nodes/liveness.ts";
import {
  callRefusals,
  databaseRefusals,
  fileRefusals,
  requestRefusals,
  tenant,
} from "../support/refusals.ts";
import { sourceFiles } from "../support/sources.ts";

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
  const none = { status: "current", reason: null, withheld: 0, endedKeyUse: null };
  add("ended_key_used_at", seen, { ...none, endedKeyUse: seen.refused });
  for (const status of nodeStatuses) add(status, { ...seen, report: null }, { ...none, status });
  add("withheld", seen, { ...none, withheld: 7 });
  const limited = { ...seen, report: { limitedUsers: 7 } } as unknown as SeenNode;
  add("sending_limit_reached", limited, { ...none, reason: "sending_limit_reached" });
  for (const reason of [...reportReasons, ...serverReasons]) {
    if (reason !== "sending_limit_reached") add(reason, seen, { ...none, status: "failing", reason });
  }
  return [...found.values()];
}

/** The note of a change that no node serves soon, for a caller who may add nodes and for one who may not. */
function notes(words: Door["words"], isOperators = false): Array<[situation: string, note: string]> {
  const cases: ReadonlyArray<[situation: string, counts: NodeCounts]> = [
    ["no node", { added: 0, joined: 0 }],
    ["none has joined", { added: 2, joined: 0 }],
    ["none calls", { added: 2, joined: 1 }],
  ];
  return cases.flatMap(([situation, counts]) =>
    (isOperators ? [operator("cli")] : [operator("cli"), tenant]).map((principal): [string, string] => [
      `a change, ${situation}, ${principal.name}`,
      words(notLive(counts, principal)),
    ]),
  );
}

interface Door {
  words(said: Text): string;
  /** Its only reader is the operator. */
  isOperators?: true;
  /** Refusals that this door alone gives. */
  own(): Promise<Array<[situation: string, refusal: { code: string; detail: string; hint: string }]>>;
}

const atShell = (said: Text) => atTheShell(said, { password: "password" });

const doors: Record<string, Door> = {
  mcp: { words: overMcp, own: async () => [] },
  rest: { words: overRest, own: requestRefusals },
  shell: {
    words: atShell,
    isOperators: true,
    own: async () => (await fileRefusals()).map(([what, error]) => [what, inWords(error, atShell)]),
  },
};

function inWords({ code, detail, hint }: MailError, words: Door["words"]) {
  return { code, detail: words(detail), hint: words(hint) };
}

/** All that a door says about the tools, their results and its refusals. */
async function textOf({ words, isOperators, own }: Door): Promise<string> {
  const settings = { nodePackageSum: () => "5".repeat(64) };
  const said: Array<[what: string, ...lines: string[]]> = [
    ...tools.map(({ endpoint, description }): [string, string] => [endpoint, words(description)]),
    ...nodeHints().map(([situations, hint]): [string, string] => [`list-nodes: ${situations}`, words(hint)]),
    ["add-node: next_step", words(installStep(settings))],
    ["rotate-key: next_step", words(renewalStep(settings, "2026-12-01T00:00:00.000Z"))],
    ...notes(words, isOperators),
  ];
  const ofCalls = (await callRefusals()).filter(([, , toOthers]) => !(isOperators && toOthers));
  const refused = [...ofCalls.map(([what, error]) => [what, error] as const), ...databaseRefusals()];
  const answers = refused.map(([what, error]) => [what, inWords(error, words)] as const);
  for (const [what, { code, detail, hint }] of [...answers, ...(await own())]) {
    said.push([what, `${code}: ${detail}`, hint]);
  }
  return said.map(([what, ...lines]) => `${what}\n${lines.map((line) => `  ${line}\n`).join("")}`).join("\n");
}

test.each(Object.entries(doors))("the golden file for %s has all that it says", async (name, door) => {
  const text = (await textOf(door))
    .replaceAll(/(?:\/[\w.-]+)*\/m25-wording\.test-\w+/g, "FOLDER")
    .replace(/this program knows \d+/, "this program knows …");
  await expect(text).toMatchFileSnapshot(`golden/${name}.txt`);
  for (const [, command = ""] of text.matchAll(/\bm25-mail ([a-z]+(?: [a-z-]+)*)/g)) {
    expect(
      usages.some(({ name }) => `${command} `.startsWith(`${name} `)),
      command,
    ).toBe(true);
  }
});

test("each door uses its own names for tools and fields, and no other door's", async () => {
  const [mcp, rest, shell] = await Promise.all(
    [doors.mcp, doors.rest, doors.shell].map((door) => door && textOf(door)),
  );
  expect(mcp).not.toContain("/api/");
  expect(rest).not.toContain("m25_mail_");
  expect(shell).not.toMatch(/m25_mail_|\/api\//);
  expect(shell).not.toMatch(
    /[Aa]sk (?:the operator|an operator)|the operator's command|an? operator|[a-z]_[a-z]+: true/,
  );
});

/** Refusals in no golden file, and why. */
const elsewhere: Readonly<Record<string, string>> = {
  "The request's body is not valid UTF-8.": "utf8.test",
  "The form is not valid UTF-8.": "utf8.test",
  "Something went wrong inside M25 Mail (reference ": "a bug is needed",
  "The server is stopping.": "a server at its end is needed",
  "The reported revision is beyond the server's.": "sync-report.test",
  "This sync key has ended.": "ended-keys.test",
  " is too old: M25 Mail needs ": "another SQLite or PostgreSQL is needed",
  "This PostgreSQL is a standby, which cannot be written.": "db/postgresql/refusals.test",
  "This PostgreSQL is a former primary: another one has been promoted since.": "db/postgresql/promotion.test",
  " has tables of another program.": "db/postgresql/refusals.test",
  " has no tables of M25 Mail.": "db/postgresql/walk.test",
  " is not empty.": "db/postgresql/copy.test",
  " cannot be read.": "db/postgresql/refusals.test",
  "The connection to the database broke while the change was committed.": "db/postgresql/fail-over.test",
  " is for SQLite's file.": "db/postgresql/walk.test",
  " exists already, perhaps with another database's token. This database's first access token was not created.":
    "serve.test",
  "The first access token cannot be written to ": "serve.test",
  " is in use by another program.": "restore.test",
  " would lead to more than ": "aliases.test",
  " aliases would lead to ": "aliases.test",
  "Mail of an alias with a target at ": "aliases.test",
  " is damaged.": "restore.test",
  "The restore was stopped.": "restore.test",
  "The restore stopped for an hour, so the server erases the rows that it had copied.": "restore.test",
  ", which would lead back to it.": "aliases.test",
  " is a mailbox node: it has passwords, and its Dovecot lets people log in.": "nodes.test",
  "The sign-in has ended.": "app-passwords.test",
  " app passwords, or one of this name.": "app-passwords.test",
  " is an alias already, which stays.": "aliases.test",
  " has no password yet, so nobody can log in.": "set-user.test",
  " is turned off.": "password-links.test",
  " has reported its host name yet.": "check-domain.test",
  "The address of a catch-all begins with @.": "aliases.test",
  "This server does not know its address from outside, where the link would lead.": "password-links.test",
  "This link has been used, has ended, or never existed.": "password-links.test",
  " is there already.": "db/export.sweep",
  " cannot be written.": "db/export.sweep",
  "The files have no mailbox, at least not in this format or in these domains.": "import.test",
  "Each mailbox needs a size limit here, and these have none: ": "import.test",
  "The file cannot be applied. ": "apply.test",
  "These targets have changed since they were shown.": "cli-call.test",
  "The links need the server's address from outside.": "import.test",
  "The links could not all be written to ": "import.test",
  "Something else has changed domains, mailboxes or aliases since the plan was made.": "apply.test",
};

test("every refusal in the code is in a golden file", async () => {
  const golden = (await Promise.all(Object.values(doors).map(textOf))).join("");
  const missing = sourceFiles("src", "tools", "db")
    .filter(({ path }) => !path.startsWith("src/node") && !path.startsWith("src/doors/page"))
    .flatMap(({ text }) => [
      ...text.matchAll(/(?:new MailError\(\s*"\w+",|\brefus(?:e|al)\()\s*(?:text)?(["`])(.+?)\1/gs),
    ])
    .map(([, , detail = ""]) => longest(detail.split(/\$\{.*?\}/)))
    .filter((words) => !golden.includes(words));
  expect(new Set(missing)).toEqual(new Set(Object.keys(elsewhere)));
});

/** The longest of these texts. */
function longest(texts: readonly string[]): string {
  return texts.toSorted((one, other) => other.length - one.length)[0] ?? "";
}

test("the tools cost a model at most 1,600 tokens", () => {
  const shown = advertisedTools(tools).map(({ name, description, inputSchema }) => ({
    name,
    description,
    inputSchema,
  }));
  expect(new Tiktoken(o200k).encode(JSON.stringify(shown)).length).toBeLessThanOrEqual(1600);
});
