import { isIPv6 } from "node:net";
import { LOOPBACK_HOSTS } from "../../mail/network.ts";

/**
 * The names by which the server may be called. A web page elsewhere can make a browser call a server that only
 * this machine reaches (DNS rebinding), but its own name then stands in Host or Origin.
 */
export class AllowedHosts {
  readonly #names: Set<string>;
  /** Allowed Host headers seen so far, so that a poll costs one look-up; bounded against attackers. */
  readonly #seen = new Set<string>();

  constructor(names: readonly string[]) {
    this.#names = new Set([
      ...LOOPBACK_HOSTS,
      ...names.map((name) => (isIPv6(name) ? `[${name}]` : name).toLowerCase()),
    ]);
  }

  /** @param host the Host header, with or without a port */
  allowsHost(host: string | undefined): boolean {
    if (host === undefined) return false;
    if (this.#seen.has(host)) return true;
    const allowed = this.#names.has(hostnameOf(`http://${host}`)) && !/[/@?#\\]/.test(host);
    if (allowed && this.#seen.size < 100) this.#seen.add(host);
    return allowed;
  }

  /** @param origin the Origin header; programs that are not browsers send none */
  allowsOrigin(origin: string | undefined): boolean {
    return origin === undefined || this.#names.has(hostnameOf(origin));
  }
}

function hostnameOf(url: string): string {
  return URL.canParse(url) ? new URL(url).hostname : "";
}
