import {
  type ClientRequest,
  Agent as HttpAgent,
  type IncomingMessage,
  request as requestHttp,
} from "node:http";
import { Agent as HttpsAgent, request as requestHttps } from "node:https";
import { pipeline, type Readable } from "node:stream";
import { createBrotliDecompress, createGunzip } from "node:zlib";
import type { MailState } from "../sync/answer.ts";
import { AnswerReader, RefusedAnswer } from "../sync/reader.ts";
import type { Report } from "../sync/report.ts";
import { NotAccepted, systemCode, TemporaryFailure, WrongAnswer } from "./faults.ts";
import { LineSplitter } from "./lines.ts";

/** How long and how much the program puts up with. Times in milliseconds. */
export interface Limits {
  /** Until there is a connection, TLS included. */
  connect: number;
  /** Without a byte in either direction. */
  idle: number;
  /** For one request with its whole answer. */
  total: number;
  /** Of one answer, uncompressed. */
  bytes: number;
}

export const defaultLimits: Limits = { connect: 15_000, idle: 30_000, total: 600_000, bytes: 2 ** 30 };

export interface ClientOptions {
  server: URL;
  /** PEM: trust these authorities and no others. */
  ca?: string | undefined;
  version: string;
  limits?: Partial<Limits> | undefined;
  /** Aborted when the program is told to stop. */
  signal?: AbortSignal | undefined;
}

/** Talks to the server; keeps its connection between polls. */
export interface Client {
  /**
   * Asks for the maps. `tag` is the ETag of the state that the node has, if it has one.
   *
   * @returns the state, proved; undefined when the server has nothing newer
   * @throws RefusedAnswer, WrongAnswer, NotAccepted, TemporaryFailure
   */
  fetchMaps(key: string, tag: string | undefined): Promise<MailState | undefined>;
  /** @throws like fetchMaps */
  sendReport(key: string, report: Report): Promise<void>;
  close(): void;
}

export function openClient({ server, ca, version, limits: given, signal }: ClientOptions): Client {
  const limits = { ...defaultLimits, ...given };
  const secure = server.protocol === "https:";
  const agent = secure
    ? new HttpsAgent({ keepAlive: true, maxSockets: 1, ca, rejectUnauthorized: true })
    : new HttpAgent({ keepAlive: true, maxSockets: 1 });
  const userAgent = `m25-mail-node/${version}`;

  /** Sends one request and gives `read` its answer; ends all of it when a limit is passed. */
  async function exchange<T>(
    method: string,
    path: string,
    headers: Record<string, string>,
    body: string | undefined,
    read: (response: IncomingMessage) => Promise<T>,
    mayRetry = true,
  ): Promise<T> {
    if (signal?.aborted === true) throw new TemporaryFailure("stopped");
    const options = { method, agent, headers: { ...headers, "User-Agent": userAgent } };
    const request = (secure ? requestHttps : requestHttp)(new URL(path, server), options);
    let response: IncomingMessage | undefined;
    let passed: Error | undefined;
    const stop = (error: Error): void => {
      passed ??= error;
      response?.destroy(passed);
      request.destroy(passed);
    };
    const onAbort = (): void => stop(new TemporaryFailure("stopped"));
    signal?.addEventListener("abort", onAbort, { once: true });
    const total = setTimeout(
      stop,
      limits.total,
      new TemporaryFailure(`no whole answer in ${limits.total} ms`),
    );
    request.setTimeout(limits.idle, () => stop(new TemporaryFailure(`nothing heard for ${limits.idle} ms`)));
    try {
      response = await answerOf(request, body, limits.connect, stop);
      return await read(response);
    } catch (error) {
      // A kept connection may have been closed at the other end in the very moment of its use.
      if (mayRetry && passed === undefined && request.reusedSocket && systemCode(error) === "ECONNRESET") {
        return await exchange(method, path, headers, body, read, false);
      }
      throw passed ?? asFault(error);
    } finally {
      clearTimeout(total);
      signal?.removeEventListener("abort", onAbort);
      // An answer that was not read to its end would keep the one connection busy.
      if (response?.readableEnded !== true) request.destroy();
    }
  }

  return {
    fetchMaps(key, tag) {
      const headers: Record<string, string> = {
        Authorization: `Bearer ${key}`,
        Accept: "application/x-ndjson",
        "Accept-Encoding": "br, gzip",
      };
      if (tag !== undefined) headers["If-None-Match"] = tag;
      return exchange("GET", "sync/v1/maps", headers, undefined, async (response) => {
        if (response.statusCode === 304 && tag !== undefined) {
          await readAway(response);
          return undefined;
        }
        expectStatus(response, [200]);
        return await readMaps(response, limits.bytes);
      });
    },
    sendReport(key, report) {
      const body = JSON.stringify(report);
      const headers = {
        Authorization: `Bearer ${key}`,
        "Content-Type": "application/json",
        "Content-Length": String(Buffer.byteLength(body)),
      };
      return exchange("POST", "sync/v1/report", headers, body, async (response) => {
        expectStatus(response, [200, 202, 204]);
        await readAway(response);
      });
    },
    close: () => agent.destroy(),
  };
}

function answerOf(
  request: ClientRequest,
  body: string | undefined,
  connectLimit: number,
  stop: (error: Error) => void,
): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    const failure = new TemporaryFailure(`no connection within ${connectLimit} ms`);
    const timer = setTimeout(stop, connectLimit, failure);
    const settled = (): void => clearTimeout(timer);
    request.once("socket", (socket) => {
      if (!socket.connecting) settled();
      else socket.once("encrypted" in socket ? "secureConnect" : "connect", settled);
    });
    request.once("response", (response) => {
      settled();
      // Whoever reads it is told; where nobody does, it must not end the program.
      response.on("error", () => undefined);
      resolve(response);
    });
    request.on("error", (error) => {
      settled();
      reject(error);
    });
    request.once("close", () => {
      settled();
      reject(new TemporaryFailure("the server closed the connection"));
    });
    request.end(body);
  });
}

function expectStatus(response: IncomingMessage, wanted: readonly number[]): void {
  const status = response.statusCode ?? 0;
  if (wanted.includes(status)) return;
  if (status === 401) throw new NotAccepted("the server does not accept the key (401)");
  if (status === 403) throw new NotAccepted("the server does not accept the key from this address (403)");
  if (status === 408 || status === 425 || status === 429 || status >= 500) {
    throw new TemporaryFailure(`the server answered ${status}`, retryAfter(response));
  }
  if (status >= 300 && status < 400 && status !== 304) {
    throw new WrongAnswer(
      `the server answered with a redirect (${status}), which is never followed: correct --server`,
    );
  }
  throw new WrongAnswer(`the server answered ${status}: is --server right?`);
}

/** RFC 9110 10.2.3, seconds or a date; in milliseconds. */
function retryAfter(response: IncomingMessage): number | undefined {
  const value = response.headers["retry-after"];
  if (value === undefined) return undefined;
  const wait = /^\d{1,9}$/.test(value) ? Number(value) * 1000 : Date.parse(value) - Date.now();
  return Number.isFinite(wait) && wait > 0 ? wait : undefined;
}

async function readMaps(response: IncomingMessage, maxBytes: number): Promise<MailState> {
  const type = response.headers["content-type"]?.split(";")[0]?.trim().toLowerCase();
  if (type !== "application/x-ndjson") throw new RefusedAnswer("not_maps", 1);
  if (Number(response.headers["content-length"]) > maxBytes) throw new RefusedAnswer("too_large", 1);
  const reader = new AnswerReader();
  let lines = 0;
  const splitter = new LineSplitter((line) => {
    lines += 1;
    reader.push(line);
  }, maxBytes);
  try {
    for await (const piece of decoded(response)) splitter.add((piece as Buffer).toString("latin1"));
  } catch (error) {
    const code = systemCode(error);
    // The connection ended before the answer did, or its last block is missing.
    if (code === "ECONNRESET" || code === "Z_BUF_ERROR") throw new RefusedAnswer("cut_short", lines + 1);
    if (code?.startsWith("Z_") || code?.startsWith("ERR_BROTLI") || code?.startsWith("ERR__ERROR")) {
      throw new RefusedAnswer("damaged_record", lines + 1);
    }
    throw error;
  }
  splitter.end();
  return reader.finish();
}

function decoded(response: IncomingMessage): Readable {
  const encoding = response.headers["content-encoding"]?.trim().toLowerCase() ?? "identity";
  if (encoding === "identity") return response;
  const decoders: Record<string, typeof createGunzip | typeof createBrotliDecompress> = {
    br: createBrotliDecompress,
    gzip: createGunzip,
    "x-gzip": createGunzip,
  };
  const decoder = decoders[encoding];
  if (decoder === undefined) throw new RefusedAnswer("not_maps", 1);
  // The reader of the last part sees every part's error.
  return pipeline(response, decoder(), () => undefined);
}

const MAX_IGNORED = 1 << 16;

async function readAway(response: IncomingMessage): Promise<void> {
  let bytes = 0;
  for await (const piece of response) {
    bytes += (piece as Buffer).length;
    if (bytes > MAX_IGNORED) return;
  }
}

/** Faults of the network are temporary; an answer that is not HTTP is a wrong answer. */
function asFault(error: unknown): unknown {
  const own = [RefusedAnswer, WrongAnswer, NotAccepted, TemporaryFailure];
  if (own.some((kind) => error instanceof kind)) return error;
  const code = systemCode(error);
  if (code?.startsWith("HPE_")) {
    return new WrongAnswer(`the server does not answer in HTTP (${code}): is --server right?`);
  }
  const words = error instanceof Error && error.message !== "" ? error.message : code;
  return new TemporaryFailure(`the server cannot be reached: ${words}`);
}
