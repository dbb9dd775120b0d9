import type { ColumnType, Generated } from "kysely";
import type { NodeRole, RecordKind } from "../src/sync/records.ts";

/** A column that is set at insertion only. */
type Fixed<T> = ColumnType<T, T, never>;

/** `own`: in a domain that the setter had access to; `waiting`: outside, and no person has approved it yet. */
export type TargetStanding = "own" | "approved" | "waiting";

/** The tables for Kysely. Migrations and each table's file explain them. */
export interface Schema {
  state: {
    id: Fixed<number>;
    history: string;
    revision: number;
    digest: string;
    mx_digest: string;
    cursor_key: Fixed<string>;
    domain_count: number;
    user_count: number;
    inactive_user_count: number;
    alias_count: Generated<number>;
    domain_alias_count: Generated<number>;
    /** Digests and number of the records that belong to no domain: every node gets them. */
    shared_digest: Generated<string>;
    shared_mx_digest: Generated<string>;
    shared_count: Generated<number>;
    /** Incremented by triggers when a node's settings change. */
    node_version: Generated<number>;
  };
  domains: {
    id: Generated<number>;
    name: Fixed<string>;
    user_count: number;
    inactive_user_count: number;
    alias_count: Generated<number>;
    domain_alias_count: Generated<number>;
    digest: string;
    mx_digest: string;
    revision: number;
    created_at: Fixed<string>;
    /** Set for hidden domains: see domains/hidden-domains.ts. */
    erase_after: string | null;
    /** What its mailboxes may send, as JSON (src/mail/sending-limit.ts); null for the nodes' own limits. */
    sending_limit: Generated<string | null>;
  };
  users: {
    id: Generated<number>;
    domain_id: number;
    local_part: string;
    mailbox: Fixed<string>;
    password_hash: string;
    /** The password while the login is off; else null. */
    held_hash: string | null;
    quota_mb: number;
    /** JSON array of the mailbox's AppPassword; null without any. */
    app_passwords: Generated<string | null>;
    /** As its domain's; null for that one. */
    sending_limit: Generated<string | null>;
    active: number;
    revision: number;
    created_at: Fixed<string>;
    updated_at: string;
  };
  mailbox_usage: {
    user_id: Fixed<number>;
    /** The last day on which it reached a sending limit, as 2026-11-30. */
    limited_on: string | null;
    /** That of the user, for the order of a domain's list. */
    domain_id: number | null;
    /** The node whose figures these are. */
    node_id: number | null;
    used_kib: number | null;
    messages: number | null;
    /** A day, of all nodes. */
    last_login: string | null;
    /** The last login's day, or without one the first day on which a node looked for logins. */
    unused_since: string | null;
    /** The day of the figures. */
    reported_on: string | null;
  };
  password_links: {
    user_id: number;
    link_id: string;
    /** SHA-256, in hexadecimal, of the whole link token. */
    link_hash: string;
    kind: "first" | "reset";
    expires_at: string;
  };
  revisions: { revision: Fixed<number>; digest: string; at: Fixed<string> };
  /** A domain alias is named with its domain: `alias.nl example.nl`. */
  removals: { kind: RecordKind; name: string; revision: number; removed_at: string };
  aliases: {
    id: Generated<number>;
    /** null for the alias of postmaster@ and abuse@ of every domain. */
    domain_id: Fixed<number | null>;
    /** "" for a catch-all. */
    local_part: Fixed<string>;
    send_as: number;
    /** JSON array of final targets, sorted. */
    live: string;
    revision: number;
    created_at: Fixed<string>;
    updated_at: string;
  };
  alias_targets: {
    alias_id: Fixed<number>;
    domain: Fixed<string>;
    local_part: Fixed<string>;
    standing: TargetStanding;
  };
  alias_reach: { alias_id: Fixed<number>; domain: Fixed<string>; local_part: Fixed<string> };
  domain_aliases: { name: Fixed<string>; domain_id: Fixed<number>; revision: Fixed<number> };
  approved_domains: { name: Fixed<string> };
  nodes: {
    id: Generated<number>;
    name: Fixed<string>;
    ip_address: string | null;
    role: NodeRole;
    /** JSON array of names, sorted; null is all. */
    domains: string | null;
    key_id: string;
    key_hash: string;
    next_key_id: string | null;
    next_key_hash: string | null;
    next_key_by_operator: Generated<number>;
    key_expires_at: string | null;
    accepted_revision: number | null;
    /** Number of acceptances of removals. */
    acceptances: Generated<number>;
    created_at: Fixed<string>;
    applied_revision: number | null;
    applied_history: string | null;
    applied_digest: string | null;
    /** The node's role and domains at the report. */
    applied_part: string | null;
    report_status: string | null;
    report_reason: string | null;
    report_count: number | null;
    /** Report's `withheld`; null if the node has not said. */
    withheld_domains: number | null;
    withheld_users: number | null;
    withheld_aliases: number | null;
    withheld_domain_aliases: number | null;
    program_version: string | null;
    host: string | null;
    /** Major and minor version of its Dovecot, such as "2.3"; null if it has not told. */
    dovecot_version: string | null;
    /** Report's `failed_checks`, with commas between them; null if the node has not told. */
    failed_checks: string | null;
    /** How many mailboxes reached a sending limit on the last day, by its report; null if it has not told. */
    limited_users: number | null;
    reported_at: string | null;
    /** Incremented when the server has something to say about one of its DKIM keys. */
    dkim_version: Generated<number>;
  };
  dkim_keys: {
    id: Generated<number>;
    /** null once the node is removed. */
    node_id: number | null;
    domain: Fixed<string>;
    selector: Fixed<string>;
    /** As DKIM_KEY in src/mail/dkim-key.ts. */
    public_key: Fixed<string>;
    reported_at: Fixed<string>;
    /** When the server has seen its record in DNS. */
    seen_at: string | null;
    /** When the node has stopped to sign with it. */
    ended_at: string | null;
    /** 1 once the operator wants another key in its place. */
    is_replaced: Generated<number>;
    version: number;
    /** When DNS is asked next; null once it is seen. */
    look_at: string | null;
  };
  contacts: { node_id: Fixed<number>; at: string; address: string | null };
  refused_contacts: { node_id: Fixed<number>; at: string; address: string | null };
  ended_keys: {
    key_id: Fixed<string>;
    key_hash: Fixed<string>;
    /** null once the node is removed. */
    node_id: number | null;
    node: Fixed<string>;
    ended_at: Fixed<string>;
    /** Time and address of the last use after the key had ended; null without one. */
    presented_at: string | null;
    presented_from: string | null;
  };
  tokens: {
    id: Generated<number>;
    name: Fixed<string>;
    token_id: Fixed<string>;
    token_hash: Fixed<string>;
    scopes: Fixed<string>;
    /** JSON array of names, sorted; null is all. */
    domains: Fixed<string | null>;
    created_at: Fixed<string>;
    expires_at: Fixed<string | null>;
    last_used_at: string | null;
  };
  oauth: {
    kind: Fixed<string>;
    /** SHA-256, in hexadecimal, of the text that the client holds. */
    id: Fixed<string>;
    grant_id: string | null;
    uid: string | null;
    /** JSON. */
    payload: string;
    /** Seconds since 1970. */
    consumed_at: number | null;
    expires_at: number | null;
    /** The network that began a request that waits for the operator. */
    subscriber: string | null;
  };
  first_token: { at: Fixed<string> };
  operator: { id: Fixed<number>; password_hash: string; changed_at: string };
  audit_log: {
    id: Generated<number>;
    at: Fixed<string>;
    principal: Fixed<string>;
    door: Fixed<string>;
    tool: Fixed<string>;
    arguments: Fixed<string>;
    revision: Fixed<number>;
    client: Fixed<string | null>;
    outcome: Fixed<string>;
    address: Fixed<string | null>;
    request: Fixed<string | null>;
  };
  audit_retention: { id: Fixed<number>; days: number | null };
}
