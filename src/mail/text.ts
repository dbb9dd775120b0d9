/** The operations that a text may refer to: the nine, and for their own texts those of a set. */
export type Endpoint =
  | "add-domain"
  | "remove-domain"
  | "list-domains"
  | "add-user"
  | "remove-user"
  | "list-users"
  | "update-password"
  | "list-nodes"
  | "add-node"
  | "set-user"
  | "create-password-link"
  | "invite-user"
  | "set-alias"
  | "remove-alias"
  | "list-aliases"
  | "set-domain-alias"
  | "check-domain"
  | "list-usage";

/** A part of a text that each door words in its own way. */
export type Reference =
  | { next: Endpoint; arguments?: Readonly<Record<string, string>> }
  | { field: string }
  /** A command at the server's shell, which only the operator has. */
  | { operator: string }
  /** A command at a node's shell. */
  | { node: string }
  /** Commands to paste as one line, at the end of a text. */
  | { line: string }
  /** Words for the operator, at the shell and on the page at /; and for everybody else. */
  | { toOperator: Text; toOthers: Text };

/** A text for callers: words, and references that each door words. */
export type Text = ReadonlyArray<string | Reference>;

/** A text with references or other texts in it: text`Call ${next("add-user")}.` */
export function text(
  words: TemplateStringsArray,
  ...parts: ReadonlyArray<string | number | Reference | Text>
): Text {
  return words.flatMap((word, index) => {
    const part = parts[index];
    if (part === undefined) return [word];
    return [word, ...(Array.isArray(part) ? part : [typeof part === "number" ? String(part) : part])];
  });
}

export function next(endpoint: Endpoint, given?: Readonly<Record<string, string>>): Reference {
  return { next: endpoint, ...(given !== undefined && { arguments: given }) };
}

export function field(name: string): Reference {
  return { field: name };
}

export function byReader(readers: { toOperator: string | Text; toOthers: string | Text }): Reference {
  return { toOperator: asText(readers.toOperator), toOthers: asText(readers.toOthers) };
}

export function asText(said: string | Text): Text {
  return typeof said === "string" ? [said] : said;
}

/** A text as the operator reads it. */
export function toOperator(said: Text): Text {
  return said.flatMap((part) =>
    typeof part === "object" && "toOperator" in part ? toOperator(part.toOperator) : [part],
  );
}

export function operator(command: string): Reference {
  return { operator: command };
}

export function node(command: string): Reference {
  return { node: command };
}

export function line(commands: string): Reference {
  return { line: commands };
}

/** Texts one after the other, with spaces between them. */
export function joined(texts: readonly Text[]): Text {
  return texts.flatMap((one, index) => (index === 0 ? one : [" ", ...one]));
}

/** A text in one door's words. */
export function worded(said: Text, words: (reference: Reference) => string): string {
  return said
    .map((part) => {
      if (typeof part === "string") return part;
      return "toOthers" in part ? worded(part.toOthers, words) : words(part);
    })
    .join("");
}

/** The names that the program itself uses, for logs and tests. */
export function plainly(reference: Reference): string {
  if ("field" in reference) return reference.field;
  if ("next" in reference) return reference.next;
  if ("toOthers" in reference) return worded(reference.toOthers, plainly);
  if ("line" in reference) return ` ${reference.line}`;
  return "node" in reference ? `m25-mail-node ${reference.node}` : `m25-mail ${reference.operator}`;
}
