import { asText, plainly, type Text, worded } from "./text.ts";

/** The codes of all expected failures. Each door maps them to its own form (REST status, exit code). */
export type ErrorCode =
  | "invalid_input"
  | "unauthorized"
  | "forbidden"
  | "declined"
  | "cancelled"
  | "domain_not_found"
  | "user_not_found"
  | "node_not_found"
  | "token_not_found"
  | "domain_exists"
  | "domain_has_active_users"
  | "user_exists"
  | "user_inactive"
  | "user_active"
  | "no_password"
  | "login_off"
  | "link_not_found"
  | "no_public_url"
  | "alias_not_found"
  | "domain_has_aliases"
  | "node_exists"
  | "token_exists"
  | "client_not_found"
  | "client_exists"
  | "grant_not_found"
  | "too_large"
  | "busy"
  | "internal"
  | "unavailable";

/**
 * An expected failure. `detail` says what is wrong, `hint` what to do next; each door words both.
 * Models and people read them: neither may contain a secret, a server path or SQL.
 */
export class MailError extends Error {
  override readonly name = "MailError";
  readonly code: ErrorCode;
  readonly detail: Text;
  readonly hint: Text;
  /** True when a retry may succeed: a lock, a full disk, a long queue. */
  readonly temporary: boolean;

  /** Seconds to wait before the same call, if known. The hint says it too. */
  readonly retryAfter: number | undefined;

  constructor(
    code: ErrorCode,
    detail: string | Text,
    hint: string | Text,
    { temporary = code === "busy", retryAfter }: { temporary?: boolean; retryAfter?: number } = {},
  ) {
    const said = asText(detail);
    super(worded(said, plainly));
    this.code = code;
    this.detail = said;
    this.hint = asText(hint);
    this.temporary = temporary;
    this.retryAfter = retryAfter;
  }
}
