/** How a command is called, as help shows it. */
export interface Usage {
  /** The words that name it, then its arguments. */
  call: string;
  does: string;
  options?: ReadonlyArray<readonly [flag: string, meaning: string]>;
}

const json = ["--json", "the result as JSON, for programs"] as const;
/** Of a command that sets a password. */
export const passwordOption = ["--password-file FILE", "instead of standard input or the prompt"] as const;

export const usages: readonly Usage[] = [
  { call: "serve", does: "HTTP: MCP, REST, sync of the nodes, health" },
  { call: "stdio", does: "MCP over standard input and output" },
  { call: "call ENDPOINT [--field value …]", does: "one operation from the shell", options: [json] },
  {
    call: "token create NAME",
    does: "an access token for HTTP, shown this once",
    options: [
      [
        "--scopes LIST",
        "of read, write, destroy, nodes; by default all, but for nodes where --domains is given",
      ],
      ["--domains LIST", "the only domains that it sees and changes, registered or not yet"],
      ["--expires END", "days or hours from now, such as 90d or 12h, or the last day, such as 2027-01-31"],
      json,
    ],
  },
  { call: "token list", does: "whose there are, for what and until when", options: [json] },
  { call: "token revoke NAME", does: "ends one at once", options: [json] },
  {
    call: "node list",
    does: "what each node is, may have, has applied, and from where it calls",
    options: [
      ["--status STATUS", "only the nodes that are never, current, behind, stale or failing"],
      ["--limit N", "how many at most, 1 to 1000; by default 100"],
      ["--cursor CURSOR", "next_cursor of the page before, to go on where it ended"],
      json,
    ],
  },
  {
    call: "node set NAME",
    does: "limits what a node gets",
    options: [
      ["--domains LIST", "the only domains that it gets, or all"],
      ["--role ROLE", "mail, or mx: addresses to relay for and never a hash"],
      ["--ip CIDR", "the only addresses it may poll from, or any"],
      json,
    ],
  },
  {
    call: "node rotate-key NAME",
    does: "a second sync key; the old one ends when it is used",
    options: [json],
  },
  { call: "node accept NAME | --all", does: "lets removals through that nodes withhold", options: [json] },
  {
    call: "node remove NAME",
    does: "ends its keys, forgets its limits; it keeps serving what it has",
    options: [json],
  },
  { call: "user set-quota EMAIL MIB", does: "another size limit for a mailbox", options: [json] },
  { call: "user restore EMAIL", does: "a soft-deleted mailbox, with its old password", options: [json] },
  { call: "user purge EMAIL", does: "removes a soft-deleted mailbox for good", options: [json] },
  {
    call: "audit",
    does: "who changed what, and who was refused",
    options: [
      ["--since TIME", "such as 7d, 24h, 2026-11-22 or 2026-11-22T10:00:00Z"],
      ["--principal NAME", "of one token, the operator, or a node"],
      ["--json", "one object a line"],
    ],
  },
  {
    call: "operator set-password",
    does: "for the page at / and the one on which OAuth clients are allowed",
    options: [passwordOption, json],
  },
  {
    call: "oauth client add NAME",
    does: "registers a client that has no metadata document",
    options: [["--redirect-uri URI,…", "where it is sent back to, as its maker says"], json],
  },
  { call: "oauth client list", does: "those that were registered", options: [json] },
  { call: "oauth client remove NAME", does: "ends one, and what it was allowed", options: [json] },
  { call: "oauth grants list", does: "what OAuth clients were allowed", options: [json] },
  { call: "oauth grants revoke ID", does: "ends that at once", options: [json] },
  { call: "backup FILE", does: "a consistent copy of the database, which may be in use" },
  { call: "restore FILE", does: "puts what a backup holds back into the database, which may be in use" },
];

/** The words that name a command: what stands before its arguments. */
export function nameOf({ call }: Usage): string {
  return /^[a-z]+(?: [a-z-]+)*/.exec(call)?.[0] ?? "";
}

/** Which verbs follow this word, as a list for a person. */
export function verbsOf(word: string): string {
  const names = usages.map(nameOf).filter((name) => name.startsWith(`${word} `));
  return names.map((name) => name.slice(word.length + 1)).join(", ");
}
