import type { FastifyRequest } from "fastify";

/** How a browser reaches the page: `plain` is over a network that others may listen on. */
export type Transport = "https" | "loopback" | "plain";

const LOOPBACK = ["localhost", "127.0.0.1", "[::1]"];

/** @param publicUrl by which a proxy that ends TLS is called */
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
  return LOOPBACK.includes(new URL(`http://${host}`).hostname) ? "loopback" : "plain";
}
