import { redacted } from "../log/redact.ts";

const MAX_LENGTH = 64;

/** A client program's own name for the audit log: short, of harmless characters, and not verified. */
export function clientName(text: unknown): string | undefined {
  if (typeof text !== "string" || text === "") return undefined;
  return redacted(text.slice(0, 1000))
    .replaceAll(/[^\p{L}\p{N} ._/@()+-]/gu, "?")
    .slice(0, MAX_LENGTH);
}

/** The first product of a User-Agent header (RFC 9110 10.1.5), such as curl/8.14.1, if it looks like one. */
export function clientOfUserAgent(userAgent: string | undefined): string | undefined {
  return clientName(/^[A-Za-z][\w.-]*(?:\/[\w.+-]+)?(?= |$)/.exec(userAgent ?? "")?.[0]);
}
