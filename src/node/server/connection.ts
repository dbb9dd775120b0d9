import {
  type ClientRequest,
  Agent as HttpAgent,
  type IncomingMessage,
  request as requestHttp,
} from "node:http";
import { Agent as HttpsAgent, request as requestHttps } from "node:https";
import { ConfigurationError, systemCode } from "../../machine/faults.ts";
import { RefusedAnswer } from "../../sync/reader.ts";
import { NotAccepted, TemporaryFailure, Unreachable, WrongAnswer } from "../faults.ts";
import { SqliteError } from "../replica/sqlite.ts";

/** Limits of a connection. Times in milliseconds. */
export interface Limits {
  /** Time to connect, TLS included. */
  connect: number;
  /** Time without a byte in either direction. */
  idle: number;
  /** Time for one request with its whole answer. */
  total: number;
  /** Size of an answer, uncompressed. */
  bytes: number;
}

export const defaultLimits: Limits = { connect: 15_000, idle: 30_000, total: 600_000, bytes: 2 ** 30 };

export interface ConnectionOptions {
  server: URL;
  /** PEM of the only authorities to trust. */
  ca?: string | undefined;
  version: string;
  limits?: Partial<Limits> | undefined;
  /** Aborted when the program must stop. */
  signal?: AbortSignal | undefined;
}

export interface Request {
  method: "GET" | "POST";
  /** Added to the server's address; begins with `/`. */
  path: string;
  headers: Record<string, string>;
  body?: string;
  /** Time that the server may wait with its answer, in milliseconds. */
  wait?: number;
  /** Ends the request, with its reason. */
  until?: AbortSignal | undefined;
}

/** Time within which the next use of a kept connection shows that the other end has closed it, in milliseconds. */
const AT_ONCE = 1000;

/** One connection to the server, kept between requests. */
export class Connection {
  readonly #options: ConnectionOptions;
  readonly #limits: Limits;
  readonly #agent: HttpAgent | HttpsAgent;
  readonly #request: typeof requestHttp;

  constructor(options: ConnectionOptions) {
    const { server, ca, limits } = options;
    const secure = server.protocol === "https:";
    this.#options = options;
    this.#limits = { ...defaultLimits, ...limits };
    this.#request = secure ? requestHttps : requestHttp;
    this.#agent = secure
      ? new HttpsAgent({ keepAlive: true, maxSockets: 1, ca, rejectUnauthorized: true })
      : new HttpAgent({ keepAlive: true, maxSockets: 1 });
  }

  /**
   * Sends one request and passes its answer to `read`. Ends both if a limit is passed.
   *
   * @throws errors of `read`; Unreachable, TemporaryFailure, WrongAnswer (not HTTP), ConfigurationError (a
   * certificate that is not trusted)
   */
  async exchange<T>(
    request: Request,
    read: (response: IncomingMessage) => Promise<T>,
    mayRetry = true,
  ): Promise<T> {
    const { method, path, body, wait = 0, until } = request;
    const { server, version, signal } = this.#options;
    if (signal?.aborted === true) throw new TemporaryFailure("stopped");
    until?.throwIfAborted();
    const headers = { ...request.headers, "User-Agent": `m25-mail-node/${version}` };
    const begun = performance.now();
    const sent = this.#request(new URL(`.${path}`, server), { method, agent: this.#agent, headers });
    let response: IncomingMessage | undefined;
    let stopped: Error | undefined;
    const stop = (error: Error): void => {
      stopped ??= error;
      response?.destroy(stopped);
      sent.destroy(stopped);
    };
    const onAbort = (): void => stop(new TemporaryFailure("stopped"));
    signal?.addEventListener("abort", onAbort, { once: true });
    const onEnd = (): void => stop(until?.reason);
    until?.addEventListener("abort", onEnd, { once: true });
    const [total, idle] = [this.#limits.total + wait, this.#limits.idle + wait];
    const timer = setTimeout(stop, total, new TemporaryFailure(`no complete answer within ${total} ms`));
    sent.setTimeout(idle, () => stop(new Unreachable(`no data for ${idle} ms`)));
    try {
      response = await answerOf(sent, body, this.#limits.connect, stop);
      if (wait > 0) sent.setTimeout(this.#limits.idle);
      return await read(response);
    } catch (error) {
      // The other end may close a kept connection just as it is used.
      const stale = sent.reusedSocket && performance.now() - begun < AT_ONCE;
      if (mayRetry && stopped === undefined && stale && systemCode(error) === "ECONNRESET")
        return await this.exchange(request, read, false);
      throw stopped ?? asFault(error);
    } finally {
      clearTimeout(timer);
      signal?.removeEventListener("abort", onAbort);
      until?.removeEventListener("abort", onEnd);
      // An answer that is not read to its end would keep the only connection busy.
      if (response?.readableEnded !== true) sent.destroy();
    }
  }

  close(): void {
    this.#agent.destroy();
  }
}

function answerOf(
  request: ClientRequest,
  body: string | undefined,
  connectLimit: number,
  stop: (error: Error) => void,
): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    const failure = new Unreachable(`no connection within ${connectLimit} ms`);
    const timer = setTimeout(stop, connectLimit, failure);
    const settled = (): void => clearTimeout(timer);
    request.once("socket", (socket) => {
      if (!socket.connecting) settled();
      else socket.once("encrypted" in socket ? "secureConnect" : "connect", settled);
    });
    request.once("response", (response) => {
      settled();
      // The reader gets the error too. Without a reader it must not end the program.
      response.on("error", () => undefined);
      resolve(response);
    });
    request.on("error", (error) => {
      settled();
      reject(error);
    });
    request.once("close", () => {
      settled();
      reject(new Unreachable("the server closed the connection"));
    });
    request.end(body);
  });
}

/** OpenSSL's and Node's codes for a certificate of an issuer that is not trusted. */
const UNKNOWN_ISSUER: ReadonlySet<string | undefined> = new Set([
  "DEPTH_ZERO_SELF_SIGNED_CERT",
  "SELF_SIGNED_CERT_IN_CHAIN",
  "UNABLE_TO_GET_ISSUER_CERT",
  "UNABLE_TO_GET_ISSUER_CERT_LOCALLY",
  "UNABLE_TO_VERIFY_LEAF_SIGNATURE",
]);

/**
 * Sorts errors: those of `read` stay, network errors are temporary, an answer that is not HTTP is wrong, and trust is a person's decision.
 */
function asFault(error: unknown): unknown {
  const own = [RefusedAnswer, WrongAnswer, NotAccepted, TemporaryFailure, SqliteError];
  if (own.some((kind) => error instanceof kind)) return error;
  const code = systemCode(error);
  if (code?.startsWith("HPE_")) {
    return new WrongAnswer(`the server does not speak HTTP (${code}): is --server right?`);
  }
  if (UNKNOWN_ISSUER.has(code)) {
    return new ConfigurationError(
      `this machine does not trust the issuer of the server's certificate (${code}): give the issuer's certificate, ` +
        "in PEM form, with --ca FILE",
    );
  }
  if (code === "ERR_TLS_CERT_ALTNAME_INVALID") {
    return new ConfigurationError(
      "the server's certificate is for another name: give --server a name of the certificate, or get the server a " +
        "certificate for this name (with --ca FILE, if its issuer is your own)",
    );
  }
  const words = error instanceof Error && error.message !== "" ? error.message : code;
  return new Unreachable(`the server cannot be reached: ${words}`);
}
