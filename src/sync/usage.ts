/** Mailboxes of one report: the body stays below the server's limit of 64 KiB. */
export const MOST_REPORTED_MAILBOXES = 150;

/** A day in UTC. */
export const DAY = /^\d{4}-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])$/;

/** A mailbox as its node knows it, for people: no part of the state that nodes serve. */
export interface MailboxUsage {
  user: string;
  /** KiB, as its quota counts it. */
  used_kib: number;
  messages: number;
  /** The day of its last login; null for none since the node records them; absent if the node cannot tell. */
  last_login?: string | null | undefined;
}

/** Some of a node's mailboxes. A node sends all of them about once a day, some at a time. */
export interface UsageReport {
  mailboxes: readonly MailboxUsage[];
}
