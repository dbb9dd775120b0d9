import * as z from "zod";
import type { Tables } from "../../db/store.ts";
import { MailError } from "../../src/mail/error.ts";
import { field as fieldOf, joined, plainly, type Text, text, worded } from "../../src/mail/text.ts";
import { pageFields } from "./fields.ts";
import type { Principal, Scope } from "./principal.ts";

/** A tool's effect; MCP annotations, REST method, scope and transaction derive from it. */
export type Effect = "read" | "write" | "destroy";

/** Passed to a tool's `run`, inside the call's one transaction. */
export interface ToolContext {
  tables: Tables;
  principal: Principal;
  /** The time of the call, RFC 3339 UTC. */
  at: string;
  /** The stored form of the input's password, which the tool itself never sees; "" for tools without one. */
  passwordHash: string;
  settings: Settings;
}

/** Settings of the server that operations need; undefined if not known. */
export interface Settings {
  /** The address by which nodes reach the server. */
  publicUrl?: string | undefined;
  /** The SHA-256 of the node's Debian package that the server offers; undefined if the build has not made one. */
  nodePackageSum?: () => string | undefined;
  /** Days after which inactive mailboxes are removed for good. */
  purgeInactiveAfter?: number | undefined;
  /** The resolver that DNS checks ask, as ADDRESS or ADDRESS:PORT; undefined is the machine's own. */
  nameServer?: string | undefined;
}

/** A call's loss, which a person must confirm first. */
export interface Loss {
  /** Asks the person, and names what will be lost. */
  question: string;
  /** Differs for each caller, input and loss. */
  id: string;
}

/** A result, or a function that makes it from other machines' answers. call() runs it after the transaction has ended. */
export type Later<T> = T | (() => Promise<T>);

/** A tool's parsed input, with all that call() must know before it runs the tool. */
export interface ParsedCall {
  scope: Scope;
  password: string | undefined;
  /** The input without its secret fields, for the audit log. */
  arguments: Record<string, unknown>;
  run(context: ToolContext): Promise<Later<Record<string, unknown>>>;
  /** Undefined when this call destroys nothing. */
  loss(context: ToolContext): Promise<Loss | undefined>;
}

/** One operation. The doors (MCP, REST, CLI) and their documents are generated from these values. */
export interface Tool<Output extends z.ZodObject = z.ZodObject> {
  endpoint: string;
  title: string;
  description: Text;
  effect: Effect;
  /** True for a write that overwrites what nobody can bring back. */
  replaces: boolean;
  /** The scopes that calls may need; each call needs one of them. */
  scopes: readonly Scope[];
  /** True if it concerns all domains together, as nodes do; callers limited to some domains may not use it. */
  ofAllDomains: boolean;
  input: z.ZodObject;
  output: Output;
  /** @throws MailError invalid_input, naming each wrong field */
  parse(input: unknown): ParsedCall;
}

/** The result of a call of the tool. */
export type Result<T extends Tool> = z.input<T["output"]>;

interface Definition<Input extends z.ZodObject, Output extends z.ZodObject> {
  /** The kebab-case name, e.g. add-domain; the MCP tool's name derives from it. */
  endpoint: string;
  title: string;
  description: string | Text;
  effect: Effect;
  /** The scopes that calls may need, if not the effect's own. A call needs the first unless `scope` names another. */
  scopes?: readonly [Scope, ...Scope[]];
  scope?: (input: z.output<Input>) => Scope;
  replaces?: boolean;
  ofAllDomains?: boolean;
  input: Input;
  output: Output;
  run(context: ToolContext, input: Omit<z.output<Input>, "password">): Promise<Later<z.input<Output>>>;
  /** Only for tools that destroy. Its id need differ only between losses: lossOf() adds caller and input. */
  loss?(context: ToolContext, input: Omit<z.output<Input>, "password">): Promise<Loss | undefined>;
}

export function defineTool<Input extends z.ZodObject, Output extends z.ZodObject>(
  definition: Definition<Input, Output>,
): Tool<Output> {
  const { endpoint, title, effect, replaces = false, ofAllDomains = false } = definition;
  const description =
    typeof definition.description === "string" ? [definition.description] : definition.description;
  const { input, output, scopes = [effect] } = definition;
  return {
    endpoint,
    title,
    description,
    effect,
    replaces,
    scopes,
    ofAllDomains,
    input,
    output,
    parse(raw) {
      const result = input.safeParse(raw ?? {});
      if (!result.success) throw invalidInput(result.error, input);
      const { password, ...rest } = result.data as z.output<Input> & { password?: string };
      return {
        scope: definition.scope?.(result.data) ?? scopes[0],
        password,
        arguments: recorded(input, rest),
        run: (context) => definition.run(context, rest),
        loss: async (context) => definition.loss?.(context, rest),
      };
    },
  };
}

/** The name under which MCP clients know a tool. */
export function mcpName({ endpoint }: Pick<Tool, "endpoint">): string {
  return `m25_mail_${endpoint.replaceAll("-", "_")}`;
}

/** True for a field that carries a secret: schemas mark it `writeOnly`. */
export function isSecret(field: unknown): boolean {
  return field instanceof z.ZodType && field.meta()?.writeOnly === true;
}

/**
 * The valid fields of a refused call's input. Nothing else of it may be recorded: a password may stand in the
 * wrong place.
 */
export function validArguments({ input }: Tool, raw: unknown): Record<string, unknown> {
  if (typeof raw !== "object" || raw === null) return {};
  const valid = Object.entries(input.shape).flatMap(([name, field]) => {
    const result = z.safeParse(field, Object.hasOwn(raw, name) ? raw[name as keyof typeof raw] : undefined);
    return result.success ? [[name, result.data]] : [];
  });
  return recorded(input, Object.fromEntries(valid));
}

/** The form for the audit log: no secrets, no absent fields, no page of a list; addresses as text. */
function recorded(input: z.ZodObject, values: Record<string, unknown>): Record<string, unknown> {
  const entries = Object.entries(values).filter(
    ([name, value]) => value !== undefined && !(name in pageFields) && !isSecret(input.shape[name]),
  );
  return Object.fromEntries(entries.map(([name, value]) => [name, asText(value)]));
}

/** An address, or the start of one, as its text. */
function asText(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(asText);
  if (typeof value !== "object" || value === null) return value;
  if ("email" in value) return value.email;
  return "text" in value ? value.text : value;
}

/** Names each wrong field, and never repeats a value: it may be a password in the wrong place. */
function invalidInput(error: z.ZodError, input: z.ZodObject): MailError {
  const fields = Object.keys(input.shape);
  const known: Text =
    fields.length === 0
      ? ["This call takes no input."]
      : text`This call takes ${fields.flatMap((name, index) => [...(index === 0 ? [] : [", "]), fieldOf(name)])}.`;
  const hints = new Map<string, Text>();
  for (const issue of error.issues) {
    const own = issue.code === "custom" ? (issue.params?.hint as Text | undefined) : undefined;
    const hint = own ?? known;
    hints.set(worded(hint, plainly), hint);
  }
  return new MailError("invalid_input", joined(error.issues.map(problemOf)), joined([...hints.values()]));
}

function problemOf(issue: z.core.$ZodIssue): Text {
  if (issue.code === "unrecognized_keys") return [unknownFields(issue.keys)];
  const [name, place] = issue.path;
  if (name === undefined) return ["The input must be a JSON object."];
  const number = typeof place === "number" ? `, number ${place + 1}` : "";
  return text`${fieldOf(String(name))}${number}: ${inPlainWords(issue)}`;
}

/** Names unknown fields, if they look like names: other text may be a secret in the wrong place. */
function unknownFields(keys: readonly string[]): string {
  const names = keys.filter((key) => /^[a-z_]{1,32}$/.test(key)).slice(0, 5);
  if (names.length === 0) return "The input has a field that this call does not have.";
  return `This call does not have the field ${names.join(", ")}.`;
}

/** zod's types in plain words. No field takes fractions. */
const kinds: Readonly<Record<string, string>> = {
  int: "a whole number",
  number: "a whole number",
  boolean: "true or false",
  string: "a text",
};

function inPlainWords(issue: z.core.$ZodIssue): string {
  switch (issue.code) {
    case "invalid_type":
      if (issue.message.endsWith("received undefined")) return "this field is required.";
      if (!issue.message.startsWith("Invalid input")) return issue.message;
      return `this must be ${kinds[issue.expected] ?? `of type ${issue.expected}`}.`;
    case "too_small":
      return `this must be at least ${issue.minimum}.`;
    case "too_big":
      return `this must be at most ${issue.maximum}.`;
    case "invalid_value":
      return `this must be one of: ${issue.values.join(", ")}.`;
    case "invalid_union":
      // zod's own message says nothing.
      return issue.message === "Invalid input" ? "this has none of the accepted forms." : issue.message;
    default:
      return issue.message;
  }
}
