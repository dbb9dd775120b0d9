import { isLoopback } from "../../../tools/operator/oauth/redirect-uri.ts";

/** The place to which the person is sent back, in words for the consent page. */
export function redirectTarget(redirectUri: string): string {
  const { protocol, host } = new URL(redirectUri);
  if (isLoopback(redirectUri)) return `a program on your own computer (${host})`;
  return protocol === "https:" ? host : `the app that opens ${protocol} links`;
}

/** oidc-provider allows any loopback port and other schemes only for `native` clients. */
export function applicationType(redirectUris: readonly string[]): "native" | "web" {
  return redirectUris.every((uri) => new URL(uri).protocol === "https:") ? "web" : "native";
}
