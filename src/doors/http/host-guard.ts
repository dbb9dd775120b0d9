import type { FastifyRequest } from "fastify";
import { RateLimit } from "../../../tools/call/rate-limit.ts";
import type { Log } from "../../log/log.ts";
import { MailError } from "../../mail/error.ts";
import type { AllowedHosts } from "./hosts.ts";

/**
 * Refuses a request that calls the server by a name that is not allowed; undefined if the name is. One refusal a minute
 * of each kind is logged with the name, so that the operator can allow it.
 */
export function hostGuard(allowed: AllowedHosts, log: Log) {
  const warnings = new RateLimit(1);
  return (request: FastifyRequest): MailError | undefined => {
    const { host, origin } = request.headers;
    if (allowed.allowsHost(host) && allowed.allowsOrigin(origin)) return undefined;
    const [header, value] = allowed.allowsHost(host) ? ["Origin", origin] : ["Host", host];
    request.refused = `its ${header} is not this server's`;
    // Do not repeat a text that cannot be a name: it may be a secret in the wrong place.
    const isName = /^[\w.:/[\]-]*$/.test(value ?? "");
    // Strangers who try many names must not fill the log.
    if (warnings.take(`${header} ${isName}`) === 0) {
      const named = isName ? `"${value?.slice(0, 100) ?? ""}"` : "that is not a name";
      log.warn(
        `refused a request with ${header} ${named}: if that name is this server's, give it with --public-url or --allowed-hosts`,
        { request: request.id },
      );
    }
    return new MailError(
      "forbidden",
      `This server does not answer to that ${header}.`,
      "Call it by its own name, or ask its operator to allow this one (m25-mail serve --allowed-hosts).",
    );
  };
}
