/** The credential of an Authorization header (RFC 6750 2.1), or "" if there is none. */
export function bearerCredential(authorization: string | undefined): string {
  return /^bearer +([\x21-\x7e]+)$/i.exec(authorization ?? "")?.[1] ?? "";
}
