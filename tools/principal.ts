/** What a caller may do: read lists, write, destroy what cannot be brought back, register nodes. */
export const scopes = ["read", "write", "destroy", "nodes"] as const;

export type Scope = (typeof scopes)[number];

/** Who is asking, and by which door; `serve` is the server itself. */
export interface Principal {
  name: string;
  door: "stdio" | "mcp" | "rest" | "cli" | "page" | "serve";
  scopes: ReadonlySet<Scope>;
  /** The only domains (A-labels) it may see and change, which leaves nodes out; undefined for all of them. */
  domains?: ReadonlySet<string> | undefined;
  /** True for a client that can ask the operator for a scope that it lacks (OAuth). */
  mayAskForMore?: boolean;
}

/** A person with a shell on the server, or with the operator's password, may do everything. */
export function operator(door: "stdio" | "cli" | "page"): Principal {
  return { name: "operator", door, scopes: new Set(scopes) };
}
