import { isLoopback } from "../../../tools/redirect-uri.ts";

/** Where the person is sent back to, in words for the consent page. */
export function redirectTarget(redirectUri: string): string {
  const { protocol, host } = new URL(redirectUri);
  if (isLoopback(redirectUri)) return `a program on your own computer (${host})`;
  return protocol === "https:" ? host : `the app that opens ${protocol} links`;
}

/** oidc-provider lets the port of a loopback address vary, and takes other schemes, for `native` clients only. */
export function applicationType(redirectUris: readonly string[]): "native" | "web" {
  return redirectUris.every((uri) => new URL(uri).protocol === "https:") ? "web" : "native";
}
