import type { FastifyRequest } from "fastify";
import { RateLimit } from "../../../tools/rate-limit.ts";
import type { Log } from "../../log/log.ts";
import { MailError } from "../../mail/error.ts";
import type { AllowedHosts } from "./hosts.ts";

/**
 * Says of a request why the server does not answer to the name that it was called by, or undefined when it does. Of
 * each kind one a minute is logged with that name, for the operator who has to allow it.
 */
export function hostGuard(allowed: AllowedHosts, log: Log) {
  const warnings = new RateLimit(1);
  return (request: FastifyRequest): MailError | undefined => {
    const { host, origin } = request.headers;
    if (allowed.allowsHost(host) && allowed.allowsOrigin(origin)) return undefined;
    const [header, value] = allowed.allowsHost(host) ? ["Origin", origin] : ["Host", host];
    request.refused = `its ${header} is not this server's`;
    // Only what can be a name is repeated: it may be a secret in the wrong place.
    const isName = /^[\w.:/[\]-]*$/.test(value ?? "");
    // Strangers who try one after the other must not fill the log.
    if (warnings.take(`${header} ${isName}`) === 0) {
      const named = isName ? `"${value?.slice(0, 100) ?? ""}"` : "that is no name";
      log.warn(
        `refused a request with ${header} ${named}: if that name is this server's, give it with --public-url or --allowed-hosts`,
        { request: request.id },
      );
    }
    return new MailError(
      "forbidden",
      `This server does not answer to that ${header}.`,
      "Call it by its own name, or ask its operator to allow this one.",
    );
  };
}
