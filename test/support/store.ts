import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { expect, onTestFinished } from "vitest";
import type { StateSummary, Store } from "../../db/store.ts";
import { type View, wholeView } from "../../src/sync/view.ts";
import { call, type Outcome, type Runtime } from "../../tools/call/call.ts";
import { operator, type Principal } from "../../tools/call/principal.ts";
import { operatorTools } from "../../tools/operator/index.ts";
import { allTools } from "../../tools/sets/index.ts";
import { choosePassword } from "../../tools/sets/people/choose-password.ts";
import { endAppPassword, makeAppPassword } from "../../tools/sets/people/owner/app-passwords.ts";
import { changeOwnPassword } from "../../tools/sets/people/owner/change-own-password.ts";
import { openTestStore } from "./engine.ts";

/** A password and a hash of it, for tests that need a hash but no hashing. */
export const PASSWORD = "correct horse battery";

/** Creates a folder with the test file's name in its own, which is removed when the test ends. */
export function temporaryFolder(): string {
  const file = basename(expect.getState().testPath ?? "", ".ts");
  const folder = mkdtempSync(join(tmpdir(), `m25-${file}-`));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

/** bcrypt's cost where a test needs real hashes: production's would take most of the time of many tests. */
export const HASH_COST = 4;

export interface TestStore {
  store: Store;
  runtime: Runtime;
  file: string;
  /** Bugs that call() reported. A test that expects none fails on one. */
  bugs: unknown[];
  /** Runs a tool, one of the nine, of a set or an operator's, by its endpoint; as the operator by default. */
  run(endpoint: string, input?: unknown, principal?: Principal): Promise<Outcome>;
  /** The same, but fails the test if the call is refused. */
  must(endpoint: string, input?: unknown): Promise<Record<string, unknown>>;
}

/** Creates a store in its own folder, with a fake hash that costs nothing and a clock that the test sets. */
export function testStore(options: { now?: () => Date } = {}): TestStore {
  const file = join(temporaryFolder(), "m25-mail.db");
  const store = openTestStore(file);
  onTestFinished(() => store.close());
  return { ...testRuntime(store, options), file };
}

export function testRuntime(store: Store, { now = () => new Date() }: { now?: () => Date } = {}) {
  const bugs: unknown[] = [];
  const runtime: Runtime = {
    store,
    now,
    hashPassword: async (password) => fakeHash(password),
    reportFailure: (_, cause) => bugs.push(cause),
  };
  const run = (endpoint: string, input: unknown = {}, principal = operator("cli")) =>
    call(runtime, { principal, tool: toolOf(endpoint), input });
  const must = async (endpoint: string, input: unknown = {}) => {
    const outcome = await run(endpoint, input);
    if (!outcome.ok) throw outcome.error;
    return outcome.value;
  };
  return { store, runtime, bugs, run, must };
}

/** The state that nodes with this view must reach. */
export async function stateOf(store: Store, view: View = wholeView): Promise<StateSummary> {
  const polls = await store.polls.look();
  return polls.state(view);
}

/** Returns at once text that looks like a bcrypt hash and differs by password. */
export function fakeHash(password: string): string {
  const text = Buffer.from(password)
    .toString("base64")
    .replace(/[^./A-Za-z0-9]/g, ".");
  return `{BLF-CRYPT}$2b$10$${text.padEnd(53, ".").slice(0, 53)}`;
}

/** The operations that only the owner's pages run. */
const ownerTools = [choosePassword, changeOwnPassword, makeAppPassword, endAppPassword];
const tools = await allTools();

export function toolOf(endpoint: string) {
  const tool = [...tools, ...ownerTools, ...Object.values(operatorTools)].find(
    (candidate) => candidate.endpoint === endpoint,
  );
  if (tool === undefined) throw new Error(`no tool ${endpoint}`);
  return tool;
}
