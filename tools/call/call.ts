import { hash, randomUUID } from "node:crypto";
import type { Store } from "../../db/store.ts";
import { type ErrorCode, MailError } from "../../src/mail/error.ts";
import { byReader, operator, text } from "../../src/mail/text.ts";
import { authorise } from "./authorise.ts";
import type { CallLimits } from "./call-limits.ts";
import type { FairQueue, WithoutSlot } from "./fair-queue.ts";
import type { Principal } from "./principal.ts";
import { type Loss, type ParsedCall, type Settings, type Tool, validArguments } from "./tool.ts";
import { refuseWeakPassword } from "./weak-passwords.ts";

export type Outcome = { ok: true; value: Record<string, unknown> } | { ok: false; error: MailError };

/** The parts that every call uses; made once, at start. */
export interface Runtime {
  store: Store;
  now(): Date;
  /** @param principal a name; the passwords of each principal wait in a queue of their own */
  hashPassword(password: string, principal: string): Promise<string>;
  /** How often each principal may call; undefined at the shell, which has no limits. */
  limits?: CallLimits;
  settings?: Settings;
  /** Makes principals take turns; if undefined, calls start as they arrive. */
  queue?: FairQueue;
  /** Receives each failure that no caller sees: a bug (the caller gets only `reference`), or a refusal's lost audit entry. */
  reportFailure(message: string, cause: unknown, reference: string): void;
  /** Receives each call when it has ended. */
  observe?(call: EndedCall): void;
}

/** Where a call comes from, as far as its door knows. */
export interface Origin {
  /** The request's id. */
  request?: string | undefined;
  /** The calling program, as it names itself: bounded and made printable by the door. */
  client?: string | undefined;
  /** Where the request comes from: the client's own address behind trusted proxies. */
  address?: string | undefined;
}

/** A principal's request to run a tool. */
export interface Call {
  principal: Principal;
  tool: Tool;
  /** Not checked yet. */
  input: unknown;
  origin?: Origin;
}

export interface EndedCall extends Origin {
  /** Its endpoint, or `none` for an unknown tool, whose name may be any text. */
  tool: string;
  principal: Principal;
  outcome: "done" | "unknown_tool" | ErrorCode;
  ms: number;
}

/**
 * The only way to run a tool: parse, authorise, hash, then one transaction with the tool's changes and
 * their audit entry. The transaction sees only the principal's domains, so a tool cannot forget to check them.
 * Never throws. A refused call changes nothing; recordRefusal() says which refusals get an audit entry.
 */
export async function call(runtime: Runtime, asked: Call): Promise<Outcome> {
  const { principal, tool, origin } = asked;
  const began = performance.now();
  const excess = runtime.limits?.excess(principal);
  // A call beyond the limit has no audit entry: writing it would cost what the limit saves.
  const outcome: Outcome =
    excess === undefined ? await runOrRefuse(runtime, asked) : { ok: false, error: excess };
  runtime.observe?.({
    ...origin,
    tool: tool.endpoint,
    principal,
    outcome: outcome.ok ? "done" : outcome.error.code,
    ms: performance.now() - began,
  });
  return outcome;
}

async function runOrRefuse(runtime: Runtime, asked: Call): Promise<Outcome> {
  const { principal, origin } = asked;
  try {
    const value = await inTurn(runtime, principal, (withoutSlot) => run(runtime, asked, withoutSlot));
    runtime.limits?.charge(principal, value);
    return { ok: true, value };
  } catch (error) {
    const refusal = error instanceof MailError ? error : bug(runtime, error, origin);
    await recordRefusal(runtime, asked, refusal);
    return { ok: false, error: refusal };
  }
}

function inTurn<T>(
  { queue }: Runtime,
  { name }: Principal,
  task: (withoutSlot: WithoutSlot) => Promise<T>,
): Promise<T> {
  return queue === undefined ? task((work) => work()) : queue.run(name, task);
}

/** @param withoutSlot runs the hashing, which has a queue of its own: lists of the same principal must not wait for it */
async function run(
  runtime: Runtime,
  { principal, tool, input, origin }: Call,
  withoutSlot: WithoutSlot,
): Promise<Record<string, unknown>> {
  const parsed = tool.parse(input);
  authorise(principal, tool, parsed);
  runtime.limits?.admit(principal, parsed);
  const { password } = parsed;
  const passwordHash =
    password === undefined
      ? ""
      : await withoutSlot(() => hashOf(runtime, principal, password, parsed.arguments));
  const at = runtime.now().toISOString();
  const { settings = {} } = runtime;
  const transaction = tool.effect === "read" ? runtime.store.read : runtime.store.write;
  const done = await transaction(async (tables) => {
    const result = await parsed.run({ tables, principal, at, passwordHash, settings });
    if (tool.effect !== "read") {
      await tables.audit.append({
        at,
        principal: principal.name,
        door: principal.door,
        ...origin,
        tool: tool.endpoint,
        arguments: parsed.arguments,
      });
    }
    return result;
  }, principal.domains);
  const result = typeof done === "function" ? await done() : done;
  return principal.domains === undefined ? result : withoutRevision(result);
}

/** @throws MailError invalid_input for a weak password; busy */
async function hashOf(
  runtime: Runtime,
  { name }: Principal,
  password: string,
  { email }: ParsedCall["arguments"],
): Promise<string> {
  await refuseWeakPassword(password, typeof email === "string" ? email : undefined);
  return await runtime.hashPassword(password, name);
}

/**
 * The loss that a call would cause, for a door that can ask a person first. Undefined if it destroys nothing, or
 * would be refused: call() then says why.
 *
 * @throws MailError unavailable, busy, internal: then nobody was asked, so nobody has agreed
 */
export async function lossOf(
  runtime: Runtime,
  { principal, tool, input, origin }: Call,
): Promise<Loss | undefined> {
  try {
    const parsed = tool.parse(input);
    authorise(principal, tool, parsed);
    const at = runtime.now().toISOString();
    const loss = await inTurn(runtime, principal, () =>
      runtime.store.read(
        (tables) =>
          parsed.loss({ tables, principal, at, passwordHash: "", settings: runtime.settings ?? {} }),
        principal.domains,
      ),
    );
    return loss && { ...loss, id: fingerprint(principal.name, tool.endpoint, parsed.arguments, loss.id) };
  } catch (error) {
    if (!(error instanceof MailError)) throw bug(runtime, error, origin);
    if (error.temporary) throw error;
    return undefined;
  }
}

const NOT_CONFIRMED = {
  declined: new MailError(
    "declined",
    "The person was asked and did not agree.",
    "Nothing was changed. Do not try it again unless they ask for it.",
  ),
  cancelled: new MailError(
    "cancelled",
    "The confirmation question was closed without an answer: the person said neither yes nor no. A client where no person can answer closes it by itself.",
    text`Nothing was changed. Ask the person in the conversation. If they want it, call again so that they can answer the question. If no question reaches them, the operator does it at the shell (${operator("call ENDPOINT")}). A soft delete asks no question.`,
  ),
};

/** Records in the audit log why a person did not confirm a call's loss; returns the refusal for the caller. */
export async function unconfirmed(
  runtime: Runtime,
  asked: Call,
  answer: keyof typeof NOT_CONFIRMED,
): Promise<MailError> {
  const { principal, tool, origin } = asked;
  const refusal = NOT_CONFIRMED[answer];
  await recordRefusal(runtime, asked, refusal);
  runtime.observe?.({ ...origin, tool: tool.endpoint, principal, outcome: refusal.code, ms: 0 });
  return refusal;
}

function fingerprint(...parts: unknown[]): string {
  return hash("sha256", JSON.stringify(parts));
}

/** Runs after the roll-back, in a transaction of its own. If it fails, the caller still gets the same refusal. */
async function recordRefusal(
  runtime: Runtime,
  { principal, tool, input, origin }: Call,
  { code }: MailError,
): Promise<void> {
  // The disk or the lock is lacking, and an entry would need them too.
  if (code === "unavailable") return;
  // The first refusal for a limit is worth an entry; further ones are not.
  if (code === "busy" && runtime.limits?.isNews(principal) !== true) return;
  try {
    await runtime.store.write((tables) =>
      tables.audit.appendRefusal({
        at: runtime.now().toISOString(),
        principal: principal.name,
        door: principal.door,
        ...origin,
        tool: tool.endpoint,
        arguments: validArguments(tool, input),
        outcome: code,
      }),
    );
  } catch (error) {
    const reference = origin?.request ?? randomUUID();
    runtime.reportFailure("a refusal could not be written to the audit log", error, reference);
  }
}

/** The revision rises with each change of any domain, so it would tell a limited principal about the others. */
function withoutRevision(result: Record<string, unknown>): Record<string, unknown> {
  return "revision" in result ? { ...result, revision: null } : result;
}

function bug(
  runtime: Runtime,
  error: unknown,
  { request: reference = randomUUID() }: Origin = {},
): MailError {
  runtime.reportFailure("bug", error, reference);
  return new MailError(
    "internal",
    `Something went wrong inside M25 Mail (reference ${reference}).`,
    text`Nothing was changed. Try once more. If it fails again, ${byReader({ toOperator: "report it, with the details in the log", toOthers: "give the operator this reference: the log has the details" })}.`,
  );
}
