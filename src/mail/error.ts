/** Every way in which a call can be refused. Doors map a code to their own form (REST status, exit code). */
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
 * An expected failure. `message` says what is wrong in plain words, `hint` what to do next.
 * Both are shown to models and people: neither may carry a secret, a path of the server or SQL.
 */
export class MailError extends Error {
  override readonly name = "MailError";
  readonly code: ErrorCode;
  readonly hint: string;
  /** True for what may pass by itself: a lock, a full disk, a long line. */
  readonly temporary: boolean;

  /** Seconds after which the same call may be made, where that is known; the hint says it too. */
  readonly retryAfter: number | undefined;

  constructor(
    code: ErrorCode,
    message: string,
    hint: string,
    temporary = code === "busy",
    retryAfter?: number,
  ) {
    super(message);
    this.code = code;
    this.hint = hint;
    this.temporary = temporary;
    this.retryAfter = retryAfter;
  }
}
