import type { Kysely } from "kysely";
import { GrantTable } from "./access/grants.ts";
import { OAuthTable } from "./access/oauth.ts";
import { OperatorTable } from "./access/operator.ts";
import { PasswordLinkTable } from "./access/password-links.ts";
import { TokenTable } from "./access/tokens.ts";
import { AliasTable } from "./aliases/aliases.ts";
import { DomainAliasTable } from "./aliases/domain-aliases.ts";
import { AliasGraph } from "./aliases/graph.ts";
import { ManyAliases } from "./aliases/many-aliases.ts";
import { AuditTable } from "./audit.ts";
import { DomainTable } from "./domains/domains.ts";
import { HiddenDomains } from "./domains/hidden-domains.ts";
import { DkimKeyTable } from "./nodes/dkim-keys.ts";
import { EndedKeyTable } from "./nodes/ended-keys.ts";
import { NodeTable } from "./nodes/nodes.ts";
import type { Schema } from "./schema.ts";
import { type StateRow, StateTable } from "./state.ts";
import type { Tables } from "./store.ts";
import { UsageTable } from "./users/usage.ts";
import { UserTable } from "./users/users.ts";

/** The tables of one transaction, limited to the domains `within`. */
export function tablesOf(
  db: Kysely<Schema>,
  within: ReadonlySet<string> | undefined,
  row: Promise<StateRow> | undefined,
): Tables {
  const state = new StateTable(db, row);
  const graph = new AliasGraph(db, state, within);
  const domains = new DomainTable(db, state, graph, within);
  const endedKeys = new EndedKeyTable(db);
  const dkimKeys = new DkimKeyTable(db, within);
  const oauth = new OAuthTable(db);
  return {
    state,
    domains,
    hidden: new HiddenDomains(db),
    users: new UserTable(db, state, domains, graph),
    passwordLinks: new PasswordLinkTable(db),
    usage: new UsageTable(db),
    aliases: new AliasTable(db, state, domains, graph),
    manyAliases: new ManyAliases(db, state, domains, graph),
    domainAliases: new DomainAliasTable(db, state, domains, graph),
    nodes: new NodeTable(db, endedKeys, dkimKeys),
    endedKeys,
    dkimKeys,
    tokens: new TokenTable(db),
    oauth,
    grants: new GrantTable(db, oauth),
    operator: new OperatorTable(db),
    audit: new AuditTable(db, state),
  };
}
