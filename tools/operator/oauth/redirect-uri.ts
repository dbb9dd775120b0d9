import { LOOPBACK_HOSTS } from "../../../src/mail/network.ts";

/** Schemes that a browser itself acts upon; any other belongs to an app. */
const BROWSERS_OWN = new Set([
  "javascript",
  "data",
  "file",
  "blob",
  "vbscript",
  "about",
  "ftp",
  "ws",
  "wss",
  "mailto",
]);

/** True for a program on the person's own machine, which chooses its port as it starts (RFC 8252 7.3). */
export function isLoopback(redirectUri: string): boolean {
  const { protocol, hostname } = new URL(redirectUri);
  return protocol === "http:" && LOOPBACK_HOSTS.has(hostname);
}

/** True if an authorization code may be sent there: HTTPS, this machine, or an app's own scheme. */
export function isRedirectUri(text: string): boolean {
  if (!URL.canParse(text) || text.includes("#") || /[\s\\]/.test(text)) return false;
  const { protocol, username, password } = new URL(text);
  if (username !== "" || password !== "") return false;
  if (protocol === "https:" || isLoopback(text)) return true;
  const scheme = protocol.slice(0, -1);
  return scheme !== "http" && !BROWSERS_OWN.has(scheme);
}
