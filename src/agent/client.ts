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
import { isKey } from "./preparation.ts";

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

/** What a node has from the server. */
export interface Position {
  /** The ETag of the state. */
  tag: string;
  cursor: string;
  history: string;
  revision: number;
}

export interface Question {
  /** Of the state that the node has; without one, everything is asked for. */
  position?: Position | undefined;
  /** What is older than this is refused; `position`, unless everything is asked for although there is one. */
  floor?: Position | undefined;
  /** That state; asked for only when the answer is a delta. */
  base?: (() => Promise<MailState | undefined>) | undefined;
  /** For how many seconds the server may keep an answer that would bring no news. */
  wait?: number | undefined;
}

export interface MapsAnswer {
  /** What the server has now, proved; undefined when it has nothing newer. */
  state: MailState | undefined;
  /** Up to this revision an operator has accepted removals. */
  accepted: number | undefined;
}

/** Not the answer's last word: everything may be asked for in its place. */
export class RefusedDelta extends RefusedAnswer {}

/** Talks to the server; keeps its connection between polls. */
export interface Client {
  /**
   * Asks for the maps.
   *
   * @throws RefusedAnswer (RefusedDelta when it was one), WrongAnswer, NotAccepted, TemporaryFailure
   */
  fetchMaps(key: string, question?: Question): Promise<MapsAnswer>;
  /** @throws like fetchMaps */
  sendReport(key: string, report: Report): Promise<void>;
  /**
   * Asks for a fresh key. The one that asks stays valid until the fresh one is used, for a day at most.
   *
   * @throws like fetchMaps
   */
  exchangeKey(key: string): Promise<string>;
  /** Uses `key` once; whatever maps come are not read. @throws like fetchMaps */
  proveKey(key: string): Promise<void>;
  /** The HTTP status of the last answer about the maps; undefined while there was none since it was asked for. */
  readonly lastStatus: number | undefined;
  close(): void;
}

const MAPS = "sync/v1/maps";

export function openClient({ server, ca, version, limits: given, signal }: ClientOptions): Client {
  const limits = { ...defaultLimits, ...given };
  const secure = server.protocol === "https:";
  const agent = secure
    ? new HttpsAgent({ keepAlive: true, maxSockets: 1, ca, rejectUnauthorized: true })
    : new HttpAgent({ keepAlive: true, maxSockets: 1 });
  const userAgent = `m25-mail-node/${version}`;
  let lastStatus: number | undefined;
  /** What the server said last of accepted removals: it holds its answer only for who was told. */
  let told: number | undefined;

  /** Sends one request and gives `read` its answer; ends all of it when a limit is passed. */
  async function exchange<T>(
    method: string,
    path: string,
    headers: Record<string, string>,
    body: string | undefined,
    read: (response: IncomingMessage) => Promise<T>,
    wait = 0,
    mayRetry = true,
  ): Promise<T> {
    const aboutMaps = path.startsWith(MAPS);
    if (aboutMaps) lastStatus = undefined;
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
      limits.total + wait,
      new TemporaryFailure(`no whole answer in ${limits.total + wait} ms`),
    );
    const idle = limits.idle + wait;
    request.setTimeout(idle, () => stop(new TemporaryFailure(`nothing heard for ${idle} ms`)));
    try {
      response = await answerOf(request, body, limits.connect, stop);
      if (wait > 0) request.setTimeout(limits.idle);
      if (aboutMaps) lastStatus = response.statusCode;
      return await read(response);
    } catch (error) {
      // A kept connection may have been closed at the other end in the very moment of its use.
      if (mayRetry && passed === undefined && request.reusedSocket && systemCode(error) === "ECONNRESET") {
        return await exchange(method, path, headers, body, read, wait, false);
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
    fetchMaps(key, { position, floor = position, base, wait = 0 } = {}) {
      const headers: Record<string, string> = {
        Authorization: `Bearer ${key}`,
        Accept: "application/x-ndjson",
        "Accept-Encoding": "br, gzip",
      };
      if (position !== undefined) headers["If-None-Match"] = position.tag;
      if (wait > 0) headers.Prefer = `wait=${wait}`;
      if (told !== undefined) headers["M25-Accept-Removals"] = String(told);
      const path = position === undefined ? MAPS : `${MAPS}?since=${encodeURIComponent(position.cursor)}`;
      const read = async (response: IncomingMessage): Promise<MapsAnswer> => {
        const accepted = acceptedRevision(response);
        told = accepted;
        if (response.statusCode === 304 && position !== undefined) {
          await readAway(response);
          return { state: undefined, accepted };
        }
        expectStatus(response, [200]);
        const state = await readMaps(response, limits.bytes, base);
        // Whoever repeats what was said before must not put this node back.
        if (floor?.history === state.history && state.revision < floor.revision)
          throw new RefusedAnswer("older_revision", 1);
        return { state, accepted };
      };
      return exchange("GET", path, headers, undefined, read, wait * 1000);
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
    exchangeKey(key) {
      const headers = { Authorization: `Bearer ${key}`, "Content-Length": "0" };
      return exchange("POST", "sync/v1/key", headers, undefined, async (response) => {
        expectStatus(response, [200]);
        return readFreshKey(await readAway(response), key);
      });
    },
    proveKey(key) {
      const headers = { Authorization: `Bearer ${key}`, "Accept-Encoding": "br" };
      return exchange("GET", MAPS, headers, undefined, async (response) => {
        expectStatus(response, [200, 304]);
      });
    },
    get lastStatus() {
      return lastStatus;
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

function acceptedRevision(response: IncomingMessage): number | undefined {
  const value = response.headers["m25-accept-removals"];
  return typeof value === "string" && /^\d{1,15}$/.test(value) ? Number(value) : undefined;
}

async function readMaps(
  response: IncomingMessage,
  maxBytes: number,
  base: Question["base"],
): Promise<MailState> {
  const type = response.headers["content-type"]?.split(";")[0]?.trim().toLowerCase();
  if (type !== "application/x-ndjson") throw new RefusedAnswer("not_maps", 1);
  if (Number(response.headers["content-length"]) > maxBytes) throw new RefusedAnswer("too_large", 1);
  let reader = new AnswerReader();
  let delta = false;
  let lines = 0;
  const splitter = new LineSplitter((line) => {
    lines += 1;
    reader.push(line);
  }, maxBytes);
  try {
    // What the answer is decides what it is read against, so its first line is looked at first.
    let opening: string | undefined = "";
    for await (const piece of decoded(response)) {
      const text = (piece as Buffer).toString("latin1");
      if (opening === undefined) {
        splitter.add(text);
        continue;
      }
      opening += text;
      if (!opening.includes("\n") && opening.length < MAX_OPENING) continue;
      delta = IS_DELTA.test(opening);
      if (delta) reader = new AnswerReader(await base?.());
      splitter.add(opening);
      opening = undefined;
    }
    if (opening !== undefined) splitter.add(opening);
    splitter.end();
    return reader.finish();
  } catch (error) {
    const refusal = refusalOf(error, lines + 1);
    if (refusal === undefined) throw error;
    throw delta ? new RefusedDelta(refusal.reason, refusal.line) : refusal;
  }
}

const MAX_OPENING = 4096;
const IS_DELTA = /^[^\n]*"kind":"delta"/;

function refusalOf(error: unknown, line: number): RefusedAnswer | undefined {
  if (error instanceof RefusedAnswer) return error;
  const code = systemCode(error);
  // The connection ended before the answer did, or its last block is missing.
  if (code === "ECONNRESET" || code === "Z_BUF_ERROR") return new RefusedAnswer("cut_short", line);
  if (code?.startsWith("Z_") || code?.startsWith("ERR_BROTLI") || code?.startsWith("ERR__ERROR")) {
    return new RefusedAnswer("damaged_record", line);
  }
  return undefined;
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

/** Reads a short answer to its end. */
async function readAway(response: IncomingMessage): Promise<string> {
  const pieces: Buffer[] = [];
  let bytes = 0;
  for await (const piece of response) {
    pieces.push(piece as Buffer);
    bytes += (piece as Buffer).length;
    if (bytes > MAX_IGNORED) break;
  }
  return Buffer.concat(pieces).toString();
}

/** @throws WrongAnswer, which holds nothing of the answer */
function readFreshKey(text: string, old: string): string {
  let fresh: unknown;
  try {
    fresh = (JSON.parse(text) as { sync_key?: unknown } | null)?.sync_key;
  } catch {
    // As with any other answer that has none.
  }
  if (typeof fresh === "string" && isKey(fresh) && fresh !== old) return fresh;
  throw new WrongAnswer("the server's answer holds no fresh key: is --server right?");
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
