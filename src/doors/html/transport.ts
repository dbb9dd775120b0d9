import type { FastifyRequest } from "fastify";
import { LOOPBACK_HOSTS } from "../../mail/network.ts";

/** A browser's connection to the page. Others may read a `plain` one. */
export type Transport = "https" | "loopback" | "plain";

/** @param publicUrl the address of a proxy that terminates TLS */
export function transportOf(
  { headers: { host = "" } }: FastifyRequest,
  hasTls: boolean,
  publicUrl: string | undefined,
): Transport {
  if (hasTls) return "https";
  if (publicUrl !== undefined) {
    const { protocol, host: publicHost } = new URL(publicUrl);
    if (protocol === "https:" && host.toLowerCase() === publicHost) return "https";
  }
  return LOOPBACK_HOSTS.has(new URL(`http://${host}`).hostname) ? "loopback" : "plain";
}
