/** A caller's permissions: read lists, write, remove for good, register nodes. */
export const scopes = ["read", "write", "destroy", "nodes"] as const;

export type Scope = (typeof scopes)[number];

/** The caller and its door; `serve` is the server itself. */
export interface Principal {
  name: string;
  door: "stdio" | "mcp" | "rest" | "cli" | "page" | "serve";
  scopes: ReadonlySet<Scope>;
  /** The only domains (A-labels) that it may see and change; undefined for all, and for nodes. */
  domains?: ReadonlySet<string> | undefined;
  /** True for a client that can ask the operator for a scope that it lacks (OAuth). */
  mayAskForMore?: boolean;
}

/** A person with a shell on the server, or with the operator's password, may do everything. */
export function operator(door: "stdio" | "cli" | "page"): Principal {
  return { name: "operator", door, scopes: new Set(scopes) };
}
